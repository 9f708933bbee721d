"""Rows of a training log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def rows_until(path: Path, step: int) -> Iterable[bytes]:
    """Yield the rows of a log up to a step; none if there is no log."""
    try:
        with open(path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n") or not is_row_until(line, step):
                    return
                yield line
    except FileNotFoundError:
        return


def is_row_until(line: bytes, step: int) -> bool:
    """Whether a line is a row of a step that is not behind `step`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] <= step
