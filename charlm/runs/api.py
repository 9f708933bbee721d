"""Training in one call."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from charlm.config import EngineConfig, TextConfig
from charlm.model import LanguageModel
from charlm.runs.run import Run


def train(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] = "charlm.safetensors",
    *,
    text: TextConfig | None = None,
    overwrite: bool = False,
    resume: bool = False,
    save_minutes: float = 1.0,
    init_from: str | os.PathLike[str] | None = None,
    engine: EngineConfig | None = None,
    **settings: Any,
) -> LanguageModel:
    """Train a model on texts, write it, and return the best one found.

    paths: one or several texts.  model: where the model is written.  init_from: a model to begin with.
    text: how text becomes tokens.  settings: fields of NetworkConfig and TrainConfig, such as minutes=2, hidden=128.
    overwrite, resume, save_minutes, engine: as for `Run`.
    What goes wrong and is mended is told to the logger "charlm".
    Raises a CharlmError: see `charlm.errors`.
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    with Run(
        several, model, settings, text,
        overwrite=overwrite, resume=resume, save_minutes=save_minutes, init_from=init_from, engine=engine,
    ) as session:  # fmt: skip
        session.notes.clear()
        for _ in session.reports():
            while session.notes:
                logging.getLogger("charlm").warning("%s", session.notes.pop(0))
        return session.model
