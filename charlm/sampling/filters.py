"""Filters: what is done to the logits before a character is drawn.

Each takes logits of (V,) or (B, V), one row a stream, and its setting; it returns new logits, in which
what must not be drawn is -inf. The softmax of the result is the distribution to draw from. An entry that is
-inf already stays so, and at least one entry of each row has to be finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from charlm.arrays import Array

LOWEST_TEMPERATURE = 1e-6
"""Below this, float32 logits divided by the temperature differ so much that the softmax is the argmax."""


def temperature(logits: Array, value: float) -> Array:
    """Divide the logits by `value` > 0: under 1 the probable becomes more probable, over 1 less.

    The greatest logit becomes 0 first, so that no quotient overflows.
    Source: Ackley, Hinton & Sejnowski 1985, A learning algorithm for Boltzmann machines.
    """
    shifted: Array = logits - logits.max(axis=-1, keepdims=True)
    shifted /= min(max(value, LOWEST_TEMPERATURE), float(np.finfo(logits.dtype).max))
    return shifted


def top_k(logits: Array, value: int) -> Array:
    """Keep the `value` greatest logits of each row, and ties with the last of them; 0 keeps all.

    Source: Fan et al. 2018, arXiv:1805.04833, section 5.4.
    """
    size = logits.shape[-1]
    if not 0 < value < size:
        return logits.copy()
    return _at_least(logits, np.partition(logits, size - value)[..., size - value, None])


def top_p(logits: Array, value: float) -> Array:
    """Keep the fewest most probable entries that make up `value` together, and ties with the last of them.

    value: in (0, 1]; 1 keeps all.
    Source: nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751, equation 2.
    """
    if value >= 1:
        return logits.copy()
    falling = np.sort(logits)[..., ::-1]
    weights = np.exp(falling - falling[..., :1])
    reached = weights.cumsum(axis=-1, dtype=np.float64)
    is_short = reached[..., :-1] < value * reached[..., -1:]
    last = np.count_nonzero(is_short, axis=-1, keepdims=True)  # of those that are kept
    return _at_least(logits, np.take_along_axis(falling, last, axis=-1))


def _at_least(logits: Array, least: Array) -> Array:
    kept = logits.copy()
    kept[logits < least] = -np.inf
    return kept


class Filter(NamedTuple):
    """A filter and the setting at which it changes nothing."""

    apply: Callable[[Array, Any], Array]
    neutral: float


FILTERS: dict[str, Filter] = {
    "temperature": Filter(temperature, 1.0),
    "top_k": Filter(top_k, 0),
    "top_p": Filter(top_p, 1.0),
}
"""By the name of their setting in SampleConfig, in the order in which they are applied."""
