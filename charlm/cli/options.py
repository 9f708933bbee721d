"""Options and arguments that several commands have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

import charlm
from charlm.cli.command import Function, option_group
from charlm.config import DECODING_ERRORS
from charlm.errors import CheckpointError, ConfigError

PATH = click.Path(path_type=Path)
INPUT = click.Path(path_type=Path, allow_dash=True)
"""The path of a file to read; "-" is standard input."""
COUNT = click.IntRange(1)
"""A number of things, 1 or more."""

input = option_group("Input")
output = option_group("Output")
machine = option_group("Machine")

model = option_group("Model")(
    "-m", "--model", "model_path", type=PATH, default="charlm.safetensors", envvar="CHARLM_MODEL", show_envvar=True,
    metavar="PATH", help="Set the path of the model file.",
)  # fmt: skip
threads = machine(
    "--threads", type=int, metavar="CORES", show_default="all usable", help="Limit the number of CPU cores."
)
json = output("--json", "as_json", is_flag=True, help="Print JSON Lines.")
file = click.argument("file", type=INPUT, metavar="FILE")


def decoding(function: Function) -> Function:
    """Add --encoding and --errors, which apply to the files that a command reads."""
    as_trained = option_group("Input", show_default="as in training")
    encoding = as_trained("--encoding", metavar="NAME", help="Decode files with this encoding.")
    errors = as_trained("--errors", type=click.Choice(DECODING_ERRORS), help="Refuse, replace or ignore invalid bytes.")
    return encoding(errors(function))


def texts(function: Function) -> Function:
    """Add the argument TEXT... and the options --file and --lines: the texts that a command reads."""
    arguments = click.argument("texts", nargs=-1, metavar="[TEXT]...")
    files = input("--file", "files", type=INPUT, multiple=True, metavar="FILE",
                  help='Read a text from a file; "-" is standard input. Repeatable.')  # fmt: skip
    lines = input("--lines", "by_line", is_flag=True, help="Treat each line of the files as a text.")
    return arguments(files(lines(function)))


def require_bidirectional(model: charlm.LanguageModel) -> None:
    """Raise ConfigError, with the command that trains another model, if a model reads from left to right only."""
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
    from charlm.kernels.threads import limit_blas
    from charlm.model import cores_for, load

    limit_blas(cores_for(threads))
    model = load(path)
    model.text = replace(model.text, encoding=encoding or model.text.encoding, errors=errors or model.text.errors)
    return model
