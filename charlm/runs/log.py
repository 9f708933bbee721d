"""The log of a run: JSON Lines, a row for every second or so of training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from charlm.checkpoint import atomic_write
from charlm.diagnostics.log_rows import rows_until
from charlm.errors import CheckpointError

LOG_KEYS = (
    "step", "epoch", "seconds", "train_loss", "valid_loss", "learning_rate", "grad_norm", "chars_per_second",
)  # fmt: skip


class Log:
    """An open log. A row is written whole or not at all; a log that cannot be written never ends a run.

    path: None for a rank that writes none.
    step: the step at which the run begins: rows behind it, and a row that was cut short, are taken away.
    notes: takes a line when rows can no longer be written.
    """

    def __init__(self, path: Path | None, step: int, notes: list[str]) -> None:
        self._path = path
        self._notes = notes
        self._problem: str | None = None
        self._descriptor = -1
        if path is None:
            return
        try:
            atomic_write(path, rows_until(path, step) if step else ())
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except (OSError, CheckpointError) as error:
            notes.append(f"no log is written: {error}")

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)

    def remove(self) -> None:
        """Delete the log of a run that never got beyond its start."""
        self.__exit__()
        self._descriptor = -1
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append the values of LOG_KEYS; what is not finite becomes null."""
        if self._descriptor < 0:
            return
        values = {key: row[key] for key in LOG_KEYS}
        line = json.dumps({key: value if is_finite(value) else None for key, value in values.items()}) + "\n"
        size = -1
        try:
            size = os.fstat(self._descriptor).st_size
            if os.write(self._descriptor, line.encode()) < len(line):
                raise OSError("the disk is full")
            self._problem = None
        except OSError as error:
            problem = f"cannot write {self._path}: {error.strerror or error}; training goes on without a log"
            if problem != self._problem:
                self._notes.append(problem)
            self._problem = problem
            if size >= 0:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, size)


def is_finite(value: Any) -> bool:
    """Whether a value of a row can stand in JSON."""
    return value is None or math.isfinite(value)


