"""Options and arguments that several commands have."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import charlm
from charlm.cli.command import Function, option_group
from charlm.cli.completion import model_files
from charlm.cli.inputs import corpus_files, gather
from charlm.config import DECODING_ERRORS
from charlm.errors import CheckpointError, ConfigError

PATH = click.Path(path_type=Path)
INPUT = click.Path(path_type=Path, allow_dash=True)
"""The path of a file to read; "-" is standard input."""
COUNT = click.IntRange(1)
"""A number of things, 1 or more."""

input = option_group("Input")
output = option_group("Output")

MODEL, MODEL_VARIABLE = "charlm.safetensors", "CHARLM_MODEL"
"""The model file by default, and the environment variable that names another."""


def model_in(title: str, help: str) -> Callable[[Function], Function]:
    """Return the option -m of one model, in a group of the help text."""
    return option_group(title)(
        "-m", "--model", "model_path", type=PATH, default=MODEL, envvar=MODEL_VARIABLE, show_envvar=True,
        metavar="PATH", shell_complete=model_files, help=help,
    )  # fmt: skip


def threads_in(title: str) -> Callable[[Function], Function]:
    """Return the option --threads, in a group of the help text."""
    return option_group(title)(
        "--threads", type=int, metavar="CORES", show_default="all usable", help="Limit the number of CPU cores."
    )


model = model_in("Model", "Read this model file.")
models = option_group("Model")(
    "-m", "--model", "model_paths", type=PATH, multiple=True, metavar="PATH", shell_complete=model_files,
    help="Read this model file. Repeatable.",
)  # fmt: skip
threads = threads_in("Machine")


def exclusive(name: str, *flags: str, value: str, help: str) -> Callable[[Function], Function]:
    """Return a flag that passes `value` as the parameter `name`; two flags of one name exclude each other."""

    def choose(context: click.Context, option: click.Parameter, is_set: bool) -> None:
        context.params.setdefault(name, None)
        if not is_set:
            return
        is_given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if context.params[name]:
            other, is_other_given = context.meta[name]
            if is_other_given and not is_given:
                return  # the command line, which click reads first, overrides the environment
            raise click.UsageError(f"{flags[0]} and {other} exclude each other; pass one of them", context)
        context.params[name], context.meta[name] = value, (flags[0], is_given)

    return output(*flags, value, is_flag=True, expose_value=False, callback=choose, help=help)


def records(function: Function) -> Function:
    """Add --json and --tsv; the command gets "json", "tsv" or None as `form`."""
    as_json = exclusive("form", "--json", value="json", help="Print JSON Lines, an object for each record.")
    as_tsv = exclusive("form", "--tsv", value="tsv", help="Print tab-separated values, a line for each record.")
    return as_json(as_tsv(function))


def decoding(function: Function) -> Function:
    """Add --encoding and --errors, which apply to the files that a command reads."""
    as_trained = option_group("Input", show_default="as in training")
    encoding = as_trained("--encoding", metavar="NAME", help="Decode files with this encoding.")
    errors = as_trained("--errors", type=click.Choice(DECODING_ERRORS), help="Refuse, replace or ignore invalid bytes.")
    return encoding(errors(function))


file_option = input(
    "--file", "files", type=INPUT, multiple=True, metavar="FILE...",
    help='Read the text from these files; "-" is standard input. Repeatable.',
)  # fmt: skip


def texts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TEXT... and the options --file and --lines; the command gets the texts as `inputs`."""

    @wraps(function)
    def command(words: tuple[str, ...], files: tuple[Path, ...], by_line: bool, **settings: Any) -> Any:
        return function(inputs=gather(words, files, by_line=by_line), **settings)

    return words_and_files(command)


def words_and_file_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TEXT... and the option --file; the command gets `words` and `files`."""
    return click.argument("words", nargs=-1, metavar="[TEXT]...")(file_option(function))


def words_and_files(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TEXT... and the options --file and --lines; the command gets `words`, `files` and `by_line`."""
    arguments = click.argument("words", nargs=-1, metavar="[TEXT]...")
    lines = input("--lines", "by_line", is_flag=True, help="Treat each line of the files as a text.")
    return arguments(file_option(lines(function)))


def documents(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TEXT... and the option --file to a command whose arguments were names of files before."""

    @wraps(function)
    def command(words: tuple[str, ...], files: tuple[Path, ...], **settings: Any) -> Any:
        return function(inputs=gather(words, files, named=True), **settings)

    return click.argument("words", nargs=-1, metavar="[TEXT]...")(file_option(command))


def passage(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument TEXT... and the option --file to a command that reads all of them as one text, `inputs`."""

    @wraps(function)
    def command(words: tuple[str, ...], files: tuple[Path, ...], **settings: Any) -> Any:
        return function(inputs=gather(words, files), **settings)

    return click.argument("words", nargs=-1, metavar="[TEXT]...")(file_option(command))


def corpora(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument FILE... and the option --file to `train`; the command gets the names as `files`."""

    @wraps(function)
    def command(files: tuple[str, ...], more_files: tuple[str, ...], **settings: Any) -> Any:
        return function(files=corpus_files((*files, *more_files)), **settings)

    arguments = click.argument("files", nargs=-1, metavar="[FILE]...")
    more = option_group("Text")(
        "--file", "more_files", multiple=True, metavar="FILE...", help="Train on these files, too."
    )
    return arguments(more(command))


def default_model() -> Path:
    """Return the path of the model that a command without -m reads."""
    return Path(os.environ.get(MODEL_VARIABLE) or MODEL)


def require_bidirectional(model: charlm.LanguageModel) -> None:
    """Raise ConfigError, with the command that trains another model, unless a language model reads from both sides."""
    model.require_language()
    if not model.config.bidirectional:
        raise ConfigError(
            "this model reads from left to right only; train another with: charlm train FILE --bidirectional"
        )


def open_model(
    path: Path, threads: int | None = None, *, encoding: str | None = None, errors: str | None = None
) -> charlm.LanguageModel:
    """Load a model, and limit the threads of NumPy's BLAS library.

    Parameters
    ----------
    path : the model file
    threads : cores to use, >= 0; 0 or None for all that this process may use
    encoding, errors : how to decode files that are read for this model; None for the settings of its training

    Raises
    ------
    CheckpointError : there is no such file, or it is not a model
    ConfigError : `threads` is negative
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such model; train one with: charlm train YOUR_TEXT.txt -m {path}")
    from charlm.kernels.threads import cores_for, limit_blas
    from charlm.model import load

    limit_blas(cores_for(threads))
    model = load(path)
    model.text = replace(model.text, encoding=encoding or model.text.encoding, errors=errors or model.text.errors)
    return model
