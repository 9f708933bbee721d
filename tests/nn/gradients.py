"""Numeric gradients along random directions (the test of HIPS/autograd's `test_util`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charlm.nn.base import NetworkState

STEP = 1e-6


def directional(function: Callable[[float], float]) -> float:
    """Return d function(s) / ds at 0, by central differences."""
    return (function(STEP) - function(-STEP)) / (2 * STEP)


def assert_close(numeric: float, analytic: float, what: str, tolerance: float = 1e-6) -> None:
    """Fail, and print both, unless the two agree and are not zero."""
    assert abs(numeric) > 1e-6, f"{what}: the gradient is zero, which tests nothing"
    error = abs(numeric - analytic) / max(abs(numeric), abs(analytic))
    assert error <= tolerance, f"{what}: numeric {numeric!r}, analytic {analytic!r}, relative error {error:.2e}"


def random_state(rng: np.random.Generator, like: NetworkState) -> NetworkState:
    """Draw a state of the same shapes."""
    return [tuple(rng.standard_normal(array.shape) for array in layer) for layer in like]


def inner(a: NetworkState, b: NetworkState) -> float:
    """Return the inner product of two states."""
    return sum(float((x * y).sum()) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))
