"""Top-k."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.sampling.filters.truncation import keep_from


def top_k(logits: Array, value: int) -> Array:
    """Keep the `value` largest logits of each row, and ties with the smallest of them; 0 keeps all.

    References
    ----------
    Fan et al. 2018, arXiv:1805.04833, section 5.4.
    """
    size = logits.shape[-1]
    if not 0 < value < size:
        return logits.copy()
    return keep_from(logits, np.partition(logits, size - value)[..., size - value, None])
