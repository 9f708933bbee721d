"""Optimizers against steps by hand, updates in parts, and clipping."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charlm.errors import ConfigError, DivergedError
from charlm.optim import OPTIMIZERS, find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import BLOCK, Optimizer


def step(optimizer: Optimizer, params: np.ndarray, grads: list[float], rate: float = 0.1) -> np.ndarray:
    optimizer.begin_step()
    optimizer.update(params, np.array(grads), rate)
    return params


def test_adam_equals_two_steps_by_hand() -> None:
    """Epsilon is added to the root of the corrected moment (algorithm 1): visible for gradients as small as epsilon."""
    adam = find_optimizer("adam", 2, np.float64)
    params = step(adam, np.array([1.0, 2.0]), [0.5, -1e-8])
    np.testing.assert_allclose(params, [1 - 0.1 * 0.5 / (0.5 + 1e-8), 2 + 0.1 / 2], rtol=1e-14)
    step(adam, params, [1.0, 0.0], rate=0.01)
    mean, square = 0.9 * 0.05 + 0.1, 0.999 * 0.00025 + 0.001
    moved = 0.01 * (mean / 0.19) / (math.sqrt(square / 0.001999) + 1e-8)
    assert params[0] == pytest.approx(1 - 0.1 * 0.5 / (0.5 + 1e-8) - moved, rel=1e-14)
    mean, square = 0.9 * -1e-9, 0.999 * 1e-19
    moved = 0.01 * (mean / 0.19) / (math.sqrt(square / 0.001999) + 1e-8)
    assert params[1] == pytest.approx(2.05 - moved, rel=1e-14)


def test_rmsprop_equals_two_steps_by_hand() -> None:
    """Epsilon is added to the root: visible for gradients as small as epsilon."""
    rmsprop = find_optimizer("rmsprop", 2, np.float64)
    params = step(rmsprop, np.array([3.0, 2.0]), [0.5, -1e-7])
    np.testing.assert_allclose(params, [3 - 0.1 * 0.5 / (0.05 + 1e-8), 2 + 0.1 * 1e-7 / 2e-8], rtol=1e-14)
    step(rmsprop, params, [1.0, 0.0], rate=0.01)
    moved = 0.01 / (math.sqrt(0.99 * 0.0025 + 0.01) + 1e-8)
    np.testing.assert_allclose(params, [3 - 0.1 * 0.5 / (0.05 + 1e-8) - moved, 2.5], rtol=1e-14)


def test_sgd_equals_three_steps_by_hand() -> None:
    """The velocity sums gradients without the rate, so a new rate applies to all of it."""
    sgd = find_optimizer("sgd", 1, np.float64)
    params = step(sgd, np.array([1.0]), [2.0])
    np.testing.assert_allclose(params, [0.8], rtol=1e-14)
    np.testing.assert_allclose(step(sgd, params, [0.0]), [0.8 - 0.1 * 1.8], rtol=1e-14)
    np.testing.assert_allclose(step(sgd, params, [1.0], rate=0.01), [0.62 - 0.01 * (0.9 * 1.8 + 1)], rtol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update_in_parts_equals_one_update(name: str) -> None:
    rng = np.random.default_rng(0)
    size = 2 * BLOCK + 77
    start, grads = rng.standard_normal((2, size))
    at_once, parts = find_optimizer(name, size, np.float64), find_optimizer(name, size, np.float64)
    a, b = start.copy(), start.copy()
    for _ in range(3):
        at_once.begin_step(), parts.begin_step()
        at_once.update(a, grads.copy(), 0.01)
        for part in (slice(100, size), slice(0, 100)):
            parts.update(b, grads.copy(), 0.01, part)
    np.testing.assert_array_equal(a, b)
    assert (a != start).all()
    assert at_once.steps == 3


def test_clipping_above_the_limit_scales_and_returns_the_old_norm() -> None:
    grads = np.array([3.0, 4.0])
    assert clip_by_global_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose(grads, [0.6, 0.8])


@pytest.mark.parametrize(("limit", "norm"), [(4.99, 4.99), (5.0, 5.0), (5.01, 5.0)])
def test_clipping_near_the_limit_keeps_or_scales(limit: float, norm: float) -> None:
    """A norm slightly above the limit becomes the limit; one at or below it stays."""
    grads = np.array([3.0, -4.0])
    assert clip_by_global_norm(grads, limit) == 5.0
    np.testing.assert_allclose(grads, [0.6 * norm, -0.8 * norm], rtol=1e-14)


def test_clipping_with_limit_zero_changes_nothing() -> None:
    grads = np.array([3e5, 4e5])
    assert clip_by_global_norm(grads, 0.0) == 5e5
    np.testing.assert_array_equal(grads, [3e5, 4e5])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clipping_of_non_finite_gradient_raises(bad: float) -> None:
    with pytest.raises(DivergedError, match="norm of the gradient"):
        clip_by_global_norm(np.array([1.0, bad]), 1.0)


def test_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of adam"):
        find_optimizer("adagrad", 1, np.float32)
