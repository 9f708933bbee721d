"""Words of a command line that click does not understand by itself: files after --file, models without -m."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from charlm.cli.terminal import warn

FILE_NAME = re.compile(r"\S+\.[A-Za-z]\w{0,9}|\S*/\S*")
"""A word that can only be meant as the name of a file: with a suffix or a slash, and without a space."""
MODEL_SUFFIX = ".safetensors"
MAX_HEADER_BYTES = 2**32
"""Length of the header of a model file, at most; eight characters of text are a larger number."""


def is_file_name(word: str) -> bool:
    """Return whether a word is the name of a file or folder that exists, or can only be meant as one."""
    return os.path.exists(word) or FILE_NAME.fullmatch(word) is not None


def is_model(word: str) -> bool:
    """Return whether a word is the name of a model file: by its suffix, or by the first bytes of the file."""
    if word.endswith(MODEL_SUFFIX):
        return True
    with suppress(OSError, ValueError):
        if os.path.isfile(word):
            with open(word, "rb") as file:
                head = file.read(9)
            return head[8:] == b"{" and int.from_bytes(head[:8], "little") < MAX_HEADER_BYTES
    return False


def spread_files(words: Sequence[str], *, takes_models: bool = False) -> list[str]:
    """Repeat --file before each further file that follows its value, so that a shell's glob can be the value.

    Do the same for -m and model files if a command takes several models.
    """
    spread: list[str] = []
    rest, before = iter(words), ""  # the flag whose values may follow
    for word in rest:
        if word == "--":
            return [*spread, word, *rest]
        if word == "--file" or (takes_models and word in ("-m", "--model")):
            spread += [word, *islice(rest, 1)]
            before = word
        elif before and is_value_of(before, word):
            spread += [before, word]
        else:
            spread.append(word)
            before = "--file" if word.startswith("--file=") else ""
    return spread


def is_value_of(flag: str, word: str) -> bool:
    """Return whether a word that follows the value of --file or -m is another value of it."""
    if flag == "--file" and word == "-":
        return True
    return not word.startswith("-") and (is_file_name(word) if flag == "--file" else is_model(word))


def take_models(context: click.Context) -> None:
    """Use model files that were given without -m as the values of -m, with a note.

    They are among the texts of a command, or among the words that a command without texts has not understood.

    Raises
    ------
    UsageError : the command takes one model and was given several, or a word is neither a model nor understood
    """
    params: dict[str, Any] = context.params
    words = [*params.get("words", ()), *context.args]
    models = [Path(word) for word in words if is_model(word)]
    if "words" in params:
        params["words"] = tuple(word for word in words if not is_model(word))
    elif others := [word for word in words if not is_model(word)]:
        refuse_words(context, others)
    context.args = []
    if not models:
        return
    if "model_paths" in params:
        is_given = context.get_parameter_source("model_paths") is ParameterSource.COMMANDLINE
        params["model_paths"] = (*(params["model_paths"] if is_given else ()), *models)
    else:
        is_given = context.get_parameter_source("model_path") is ParameterSource.COMMANDLINE
        if is_given or len(models) > 1:
            raise click.UsageError(f"{models[0]} is a model; this command takes one model, with -m", context)
        params["model_path"] = models[0]
    flags = " ".join(f"-m {shlex.quote(str(path))}" for path in models)
    warn(f"{models[0]} is a model; from the next version on, write {flags}")


def refuse_words(context: click.Context, words: Sequence[str]) -> None:
    """Raise UsageError for words that a command does not take, and name the option that takes them."""
    options = {option.name: option for option in context.command.params}
    hint = f"; to continue a text, pass -p {shlex.quote(words[0])}" if "prompt" in options else ""
    hint = hint or "; name a model with -m"
    raise click.UsageError(f"unexpected argument {words[0]!r}{hint}", context)
