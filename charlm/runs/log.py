"""The log of a run: JSON Lines, a row for every second or so of training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from charlm.checkpoint import atomic_write
from charlm.diagnostics.clipping_log import rows_until
from charlm.errors import CheckpointError
from charlm.training.report import Event, OnEvent, log_event

LOG_KEYS = (
    "step", "epoch", "seconds", "train_loss", "valid_loss", "learning_rate", "grad_norm", "chars_per_second",
)  # fmt: skip


class Log:
    """The log of a run; use it as a context. A row is written completely or not at all, and no failure ends the run.

    Parameters
    ----------
    path : Path or None
        None for a process that writes no log.
    step : int
        Step at which the run starts. Later rows of an existing log and an incomplete row are deleted.
    on_event : callable
        Receives an Event when rows cannot be written.
    """

    def __init__(self, path: Path | None, step: int, on_event: OnEvent = log_event) -> None:
        self._path = path
        self._step = step
        self._on_event = on_event
        self._problem: str | None = None  # reported already
        self._file: FileIO | None = None

    def __enter__(self) -> Log:
        if self._path is not None:
            try:
                atomic_write(self._path, rows_until(self._path, self._step) if self._step else ())
                self._file = FileIO(self._path, "a")
            except (OSError, CheckpointError) as error:
                self._on_event(Event(f"no log is written: {error}"))
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def remove(self) -> None:
        """Delete the log of a run that made no step."""
        self.__exit__()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append the values of LOG_KEYS; values that are not finite become null. Ensembles add `member_losses`."""
        if self._file is None:
            return
        values: dict[str, Any] = {key: row[key] for key in LOG_KEYS}
        values = {key: value if value is not None and math.isfinite(value) else None for key, value in values.items()}
        if losses := row.get("member_losses"):
            values["member_losses"] = losses
        line = json.dumps(values) + "\n"
        try:
            size = self._file.seek(0, os.SEEK_END)
            if self._file.write(line.encode()) < len(line):
                self._file.truncate(size)
                raise OSError("the disk is full")
            self._problem = None
        except OSError as error:
            problem = f"cannot write {self._path}: {error.strerror or error}; training continues without a log"
            if problem != self._problem:
                self._on_event(Event(problem))
            self._problem = problem
