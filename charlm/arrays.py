"""Types of arrays, numbers for JSON, and even splits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
"""Real numbers: parameters, activations, gradients. Training uses float32, gradient checks float64."""

Ids: TypeAlias = npt.NDArray[np.integer[Any]]
"""Token ids."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""True or false for each element."""


def finite_or_none(value: Any) -> Any:
    """Return the value, or None for a float that is not finite, which JSON lacks."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def split_evenly(start: int, stop: int, parts: int) -> list[slice]:
    """Split a range into contiguous parts whose sizes differ by at most one.

    >>> split_evenly(10, 15, 2)
    [slice(10, 12, None), slice(12, 15, None)]
    """
    bounds = [start + (stop - start) * part // parts for part in range(parts + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]
