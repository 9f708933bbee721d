"""Training in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from charlm.checks import PATH, TRUTH, check, check_value
from charlm.config import EngineConfig, NetworkConfig, TextConfig, TrainConfig
from charlm.model import LanguageModel
from charlm.runs.files import PathLike
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.settings import TrainKeywords, checked, show_keywords, take
from charlm.training.report import log_event

if TYPE_CHECKING:
    from typing_extensions import Unpack

PROGRESS = "charlm.cli.progress"
"""Module that draws the progress of a run. A string, as in a registry, because `cli/` is above `runs/`."""


@show_keywords(TrainKeywords, TextConfig, NetworkConfig, TrainConfig, EngineConfig, RunOptions)
def train(
    paths: PathLike | Sequence[PathLike],
    model: PathLike = "charlm.safetensors",
    *,
    progress: bool = False,
    text: TextConfig | None = None,
    engine: Literal["numpy", "torch"] | EngineConfig = "numpy",
    **settings: Unpack[TrainKeywords],
) -> LanguageModel:
    """Train a model on texts, write it to a file, and return the best one found.

    >>> train("names.txt", "names.safetensors", lines=True, minutes=2, progress=True)  # doctest: +SKIP

    Parameters
    ----------
    paths : path or sequence of paths
        One text or several; "-" is standard input.
    model : path
        The model file to write.
    progress : bool, default False
        Whether to print the settings, the progress and the result to standard error, as `charlm train` does: a bar
        on a terminal, lines elsewhere. Otherwise, problems that training recovers from go to the logger "charlm".
    text : TextConfig, optional
        How text becomes tokens; settings such as `lines=True` override its fields.
    engine : {"numpy", "torch"} or EngineConfig
        What computes the gradients; `device` and `precision` override the fields of an EngineConfig.
    size : {"tiny", "small", "medium", "large"}, optional
        Sets `hidden`.
    **settings
        Fields of TextConfig, NetworkConfig, TrainConfig, EngineConfig and RunOptions, such as `minutes=2`; see below.
        A setting of the network or the training that is not given is chosen by the length of the text and the budget.

    Raises
    ------
    CharlmError
        See `charlm.errors`.
    """
    given = checked(dict(settings), TrainKeywords.__annotations__)
    options = run_options(text, engine, given)
    check_value("model", model, PATH)
    check_value("progress", progress, TRUTH)
    sources = list_of_paths(paths)
    screen = import_module(PROGRESS) if progress else None
    with Run(sources, model, given, options, screen.print_event if screen else log_event) as run:
        if screen and run.group.is_main_process:
            screen.train_with_progress(run)
        else:
            for _ in run.reports():
                pass
        return run.model


def run_options(text: TextConfig | None, engine: str | EngineConfig, settings: dict[str, Any]) -> RunOptions:
    """Return the options of a run, and remove their fields from the settings."""
    text = TextConfig() if text is None else text
    check(isinstance(text, TextConfig), "text", text, "a TextConfig; settings such as `lines=True` need none")
    text = replace(text, **take(settings, TextConfig))
    if isinstance(engine, EngineConfig):
        engine = replace(engine, **take(settings, EngineConfig))
    else:
        engine = EngineConfig(engine, **take(settings, EngineConfig))
    return RunOptions(text, engine, **take(settings, RunOptions))


def list_of_paths(paths: Any) -> list[PathLike]:
    """Return one path or several as a list; raise ConfigError if they are neither."""
    if isinstance(paths, (str, os.PathLike)):
        return [paths]
    is_valid = isinstance(paths, Sequence) and bool(paths) and all(map(PATH.is_valid, paths))
    check(is_valid, "paths", paths, "a path or a list of paths")
    return list(paths)
