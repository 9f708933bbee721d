"""Gradient clipping."""

from __future__ import annotations

import math

import numpy as np

from charlm.arrays import Array
from charlm.errors import DivergedError


def clip_by_global_norm(grads: Array, max_norm: float) -> float:
    """Scale `grads` in place so that its L2 norm is at most `max_norm`.

    Parameters
    ----------
    grads : array (P,)
    max_norm : float
        0 for no limit.

    Returns
    -------
    float
        The norm before scaling.

    Raises
    ------
    DivergedError
        If the norm is not finite.

    References
    ----------
    Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    norm = math.sqrt(float(np.dot(grads, grads)))
    if not math.isfinite(norm):
        raise DivergedError(f"the norm of the gradient is {norm}")
    if max_norm and norm > max_norm:
        grads *= max_norm / norm
    return norm
