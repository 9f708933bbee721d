"""Top-p (nucleus sampling)."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.sampling.filters.truncation import keep_from


def top_p(logits: Array, value: float) -> Array:
    """Keep the smallest set of most probable ids whose probability reaches `value`, and ties with the last of them.

    value: in (0, 1]; 1 keeps all.

    References
    ----------
    Nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751, equation 2.
    """
    if value >= 1:
        return logits.copy()
    descending = np.sort(logits)[..., ::-1]
    weights = np.exp(descending - descending[..., :1])
    cumulative = weights.cumsum(axis=-1, dtype=np.float64)
    is_short = cumulative[..., :-1] < value * cumulative[..., -1:]
    last_kept = np.count_nonzero(is_short, axis=-1, keepdims=True)
    return keep_from(logits, np.take_along_axis(descending, last_kept, axis=-1))
