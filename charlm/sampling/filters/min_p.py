"""Min-p."""

from __future__ import annotations

import math

from charlm.arrays import Array
from charlm.sampling.filters.truncation import keep_from


def min_p(logits: Array, value: float) -> Array:
    """Keep the ids whose probability is at least `value` times that of the most probable one.

    value: in [0, 1]; 0 keeps all.

    References
    ----------
    Nguyen et al. 2024, arXiv:2407.01082, section 3.
    """
    if value <= 0:
        return logits.copy()
    return keep_from(logits, logits.max(axis=-1, keepdims=True) + logits.dtype.type(math.log(value)))
