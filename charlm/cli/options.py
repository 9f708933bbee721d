"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from charlm.config import DECODING_ERRORS
from charlm.errors import CheckpointError

if TYPE_CHECKING:
    from charlm.model import LanguageModel

Function = TypeVar("Function", bound=Callable[..., Any])

DEFAULT_MODEL = "charlm.safetensors"


def model_option(function: Function) -> Function:
    """-m/--model PATH."""
    return click.option(
        "-m",
        "--model",
        "model_path",
        type=click.Path(path_type=Path),
        default=DEFAULT_MODEL,
        envvar="CHARLM_MODEL",
        show_default=True,
        show_envvar=True,
        metavar="PATH",
        help="The model file.",
    )(function)


def threads_option(function: Function) -> Function:
    """--threads N."""
    return click.option(
        "--threads", type=int, metavar="N", help="Cores to use.  [default: all that this process may use]"
    )(function)


def decoding_options(function: Function) -> Function:
    """--encoding NAME and --errors HOW, of the files that a command reads."""
    for option in (
        click.option("--errors", type=click.Choice(DECODING_ERRORS),
                     help="What becomes of invalid bytes in FILE.  [default: as in training]"),
        click.option("--encoding", metavar="NAME", help="Encoding of FILE.  [default: as in training]"),
    ):  # fmt: skip
        function = option(function)
    return function


def open_model(
    path: Path, threads: int | None = None, *, encoding: str | None = None, errors: str | None = None
) -> LanguageModel:
    """Read the model at `path`, and let NumPy's products use `threads` cores, None for all that this process may use.

    encoding, errors: how to decode files that are read for this model; None for the way of its training.
    Raises CheckpointError, with how to train one if there is no such file; ConfigError if `threads` is negative.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such model; train one with: charlm train YOUR_TEXT.txt -m {path}")
    from charlm.kernels.threads import limit_blas
    from charlm.model import cores_for, load

    limit_blas(cores_for(threads))
    model = load(path)
    model.text = replace(model.text, encoding=encoding or model.text.encoding, errors=errors or model.text.errors)
    return model
