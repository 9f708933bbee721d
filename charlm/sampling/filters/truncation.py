"""What the filters share that keep the most probable ids."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array


def keep_from(logits: Array, threshold: Array) -> Array:
    """Return the logits with those below the threshold of their row set to -inf."""
    kept = logits.copy()
    kept[logits < threshold] = -np.inf
    return kept
