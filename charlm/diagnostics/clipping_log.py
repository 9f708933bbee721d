"""Gradient clipping in a finished run, as recorded in its log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from charlm.checks import is_real


@dataclass(frozen=True)
class Clipping:
    """Norms of the gradient before clipping, at the steps in a log: about one a second.

    Attributes
    ----------
    limit : float
        Norm to which gradients were clipped; 0 for no clipping.
    steps : int
        Number of steps in the log.
    clipped : int
        Number of these steps with a norm above the limit.
    median_norm, largest_norm : float
        Median and maximum of the norms.
    """

    limit: float
    steps: int
    clipped: int
    median_norm: float
    largest_norm: float


def read_clipping(log: Path, limit: float) -> Clipping | None:
    """Return the clipping that a log records; None if there is no log, or no norm in it."""
    rows = (json.loads(line, parse_int=float) for line in rows_until(log))
    norms = [float(row["grad_norm"]) for row in rows if is_real(row.get("grad_norm")) and row["grad_norm"] >= 0]
    if not norms:
        return None
    clipped = sum(norm > limit > 0 for norm in norms)
    return Clipping(limit, len(norms), clipped, median(norms), max(norms))


def rows_until(log: Path, step: float = math.inf) -> Iterator[bytes]:
    """Yield the valid rows at the start of a log, up to a step; none if there is no log."""
    try:
        with open(log, "rb") as file:
            for line in file:
                row = json.loads(line)
                is_row = line.endswith(b"\n") and isinstance(row, dict) and isinstance(row.get("step"), int)
                if not is_row or row["step"] > step:
                    return
                yield line
    except (FileNotFoundError, ValueError, RecursionError):
        return
