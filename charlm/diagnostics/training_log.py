"""The log of a training run: losses, learning rate and gradient norm by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.checks import is_real
from charlm.diagnostics.clipping_log import rows_until
from charlm.errors import CheckpointError

NUMBERS = ("step", "epoch", "seconds", "train_loss", "valid_loss", "learning_rate", "grad_norm", "chars_per_second")
"""Keys of a row, the numbers alone."""


@dataclass(frozen=True)
class TrainingLog:
    """The rows of a log, about one for each second of training.

    Attributes
    ----------
    rows : tuple of mapping
        Each with the values of NUMBERS that are finite numbers; the held-out loss, "valid_loss", is in few of them.
    """

    rows: tuple[Mapping[str, float], ...]

    def series(self, key: str, by: str = "step") -> list[tuple[float, float]]:
        """Return the pairs of the value of `by` and of `key`, in order, of the rows that have both."""
        return [(row[by], row[key]) for row in self.rows if by in row and key in row]

    def thinned(self, count: int) -> TrainingLog:
        """Return a log of at most `count` rows: each row with a held-out loss, and evenly spaced others."""
        if len(self.rows) <= count:
            return self
        evaluated = [index for index, row in enumerate(self.rows) if "valid_loss" in row][-count:]
        others = max(1, count - len(evaluated))
        spaced = (index * len(self.rows) // others for index in range(others))
        return TrainingLog(tuple(self.rows[index] for index in sorted({*evaluated, *spaced})[-count:]))


def read_log(path: Path) -> TrainingLog:
    """Read a log; CheckpointError if there is none, or no row in it."""
    rows = tuple(numbers_of(json.loads(line, parse_int=float)) for line in rows_until(path))
    if not rows:
        reason = "no row of a training log in it" if path.exists() else "no such file"
        raise CheckpointError(f"{path}: {reason}; training writes the log next to the model, as NAME.log.jsonl")
    return TrainingLog(rows)


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a row."""
    return {key: row[key] for key in NUMBERS if is_real(row.get(key))}
