"""Types of arrays, ids of tokens with labels, numbers for JSON, and even splits."""

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


def join_ids(tokens: Ids, labels: Ids, count: int) -> Ids:
    """Return one id for each token with its label, one of `count`: token * count + label."""
    return tokens * count + labels


def split_ids(ids: Ids, count: int) -> tuple[Ids, Ids]:
    """Return the tokens and the labels of ids that `join_ids` returned."""
    return ids // count, ids % count


def tokens_of(ids: Ids, count: int) -> Ids:
    """Return the tokens of ids with one of `count` labels; the ids themselves if there are none."""
    return split_ids(ids, count)[0] if count else ids


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
