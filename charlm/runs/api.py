"""Training in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from charlm.model import LanguageModel
from charlm.runs.files import PathLike
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions


def train(
    paths: PathLike | Sequence[PathLike], model: PathLike = "charlm.safetensors", **settings: Any
) -> LanguageModel:
    """Train a model on texts, write it to a file, and return the best one found.

    Parameters
    ----------
    paths : path or sequence of paths
        One text or several; "-" is standard input.
    model : path
        The model file to write.
    text : TextConfig
        How text becomes tokens.
    engine : EngineConfig
        What computes the gradients.
    overwrite : bool, default False
        Whether an existing model may be replaced.
    resume : bool, default False
        Whether to continue the run whose state is NAME.resume.safetensors.
    save_minutes : float, default 1
        Minutes between saves; 0 saves after each step.
    init_from : path
        A model whose weights and vocabulary to start with; its file is not changed.
    **settings
        Fields of NetworkConfig and TrainConfig, such as `minutes=2` or `hidden=128`. Missing ones are chosen.

    Returns
    -------
    LanguageModel

    Raises
    ------
    CharlmError
        See `charlm.errors`.

    Notes
    -----
    Problems that training recovers from go to the logger "charlm".
    """
    names = {field.name for field in fields(RunOptions)} & settings.keys()
    options = RunOptions(**{name: settings.pop(name) for name in names})
    with Run([paths] if isinstance(paths, (str, os.PathLike)) else list(paths), model, settings, options) as run:
        for _ in run.reports():
            pass
        return run.model
