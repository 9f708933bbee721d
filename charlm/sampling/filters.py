"""Filters: change the logits before a character is drawn.

Each filter takes logits of shape (V,) or (B, V), one row per stream, and its setting. It returns new logits; an id
that must not be drawn has the logit -inf. The next character is drawn from the softmax of the result. Logits of -inf
stay -inf, and each row needs at least one finite logit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from charlm.arrays import Array

LOWEST_TEMPERATURE = 1e-6
"""Temperature below which float32 logits differ so much that the softmax is the argmax."""


def temperature(logits: Array, value: float) -> Array:
    """Divide the logits by `value` > 0: below 1 sharpens the distribution, above 1 flattens it.

    The maximum of each row is subtracted first, so that no quotient overflows.

    References
    ----------
    Ackley, Hinton & Sejnowski 1985, A learning algorithm for Boltzmann machines.
    """
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted /= min(max(value, LOWEST_TEMPERATURE), float(np.finfo(logits.dtype).max))
    return shifted


def top_k(logits: Array, value: int) -> Array:
    """Keep the `value` largest logits of each row, and ties with the smallest of them; 0 keeps all.

    References
    ----------
    Fan et al. 2018, arXiv:1805.04833, section 5.4.
    """
    size = logits.shape[-1]
    if not 0 < value < size:
        return logits.copy()
    return _keep_from(logits, np.partition(logits, size - value)[..., size - value, None])


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
    return _keep_from(logits, np.take_along_axis(descending, last_kept, axis=-1))


def _keep_from(logits: Array, threshold: Array) -> Array:
    """Return the logits with those below the threshold of their row set to -inf."""
    kept = logits.copy()
    kept[logits < threshold] = -np.inf
    return kept


class Filter(NamedTuple):
    """A filter, and the setting with which it changes nothing."""

    apply: Callable[[Array, Any], Array]
    neutral: float


FILTERS: dict[str, Filter] = {
    "temperature": Filter(temperature, 1.0),
    "top_k": Filter(top_k, 0),
    "top_p": Filter(top_p, 1.0),
}
"""Filters by the name of their field in `SampleConfig`, in the order in which they are applied."""
