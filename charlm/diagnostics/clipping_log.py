"""How often clipping acted in a run that is over, as far as its log tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from charlm.config import is_real
from charlm.diagnostics.log_rows import rows_until

ANY_STEP = 1 << 62


@dataclass(frozen=True)
class Clipping:
    """Norms of the gradient before clipping, at the steps that a log has a row for: about one a second.

    limit: the largest norm that was let through; 0 for no clipping.  steps: how many there are.
    clipped: at how many of them the norm was above the limit.  median_norm, largest_norm: of all of them.
    """

    limit: float
    steps: int
    clipped: int
    median_norm: float
    largest_norm: float


def read_clipping(log: Path, limit: float) -> Clipping | None:
    """Return how often clipping acted; None if there is no log, or nothing in it."""
    rows = (json.loads(line, parse_int=float) for line in rows_until(log, ANY_STEP))
    norms = [float(row["grad_norm"]) for row in rows if is_real(row.get("grad_norm")) and row["grad_norm"] >= 0]
    if not norms:
        return None
    clipped = sum(norm > limit > 0 for norm in norms)
    return Clipping(limit, len(norms), clipped, median(norms), max(norms))
