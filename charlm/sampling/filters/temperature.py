"""Temperature."""

from __future__ import annotations

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
