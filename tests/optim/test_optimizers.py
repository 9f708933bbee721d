"""Optimizers: first steps worked by hand, and parts that make up the whole."""

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


def test_adam_by_hand() -> None:
    """Epsilon is added to the root of the corrected moment (algorithm 1), which shows in gradients as small as it."""
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


def test_rmsprop_by_hand() -> None:
    """Epsilon is added to the root, which shows in gradients as small as it."""
    rmsprop = find_optimizer("rmsprop", 2, np.float64)
    params = step(rmsprop, np.array([3.0, 2.0]), [0.5, -1e-7])
    np.testing.assert_allclose(params, [3 - 0.1 * 0.5 / (0.05 + 1e-8), 2 + 0.1 * 1e-7 / 2e-8], rtol=1e-14)
    step(rmsprop, params, [1.0, 0.0], rate=0.01)
    moved = 0.01 / (math.sqrt(0.99 * 0.0025 + 0.01) + 1e-8)
    np.testing.assert_allclose(params, [3 - 0.1 * 0.5 / (0.05 + 1e-8) - moved, 2.5], rtol=1e-14)


def test_momentum_by_hand() -> None:
    """The velocity is a sum of gradients, so that a new rate holds for all that moves on."""
    sgd = find_optimizer("sgd", 1, np.float64)
    params = step(sgd, np.array([1.0]), [2.0])
    np.testing.assert_allclose(params, [0.8], rtol=1e-14)
    np.testing.assert_allclose(step(sgd, params, [0.0]), [0.8 - 0.1 * 1.8], rtol=1e-14)
    np.testing.assert_allclose(step(sgd, params, [1.0], rate=0.01), [0.62 - 0.01 * (0.9 * 1.8 + 1)], rtol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parts_make_up_the_whole(name: str) -> None:
    rng = np.random.default_rng(0)
    size = 2 * BLOCK + 77
    start, grads = rng.standard_normal((2, size))
    whole, parts = find_optimizer(name, size, np.float64), find_optimizer(name, size, np.float64)
    a, b = start.copy(), start.copy()
    for _ in range(3):
        whole.begin_step(), parts.begin_step()
        whole.update(a, grads.copy(), 0.01)
        for part in (slice(100, size), slice(0, 100)):
            parts.update(b, grads.copy(), 0.01, part)
    np.testing.assert_array_equal(a, b)
    assert (a != start).all()
    assert whole.steps == 3


def test_clipping_scales_to_the_norm_and_returns_the_old_one() -> None:
    grads = np.array([3.0, 4.0])
    assert clip_by_global_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose(grads, [0.6, 0.8])


@pytest.mark.parametrize(("limit", "norm"), [(4.99, 4.99), (5.0, 5.0), (5.01, 5.0)])
def test_clipping_begins_at_its_limit(limit: float, norm: float) -> None:
    """A norm a little above the limit becomes the limit, and one at or below it stays."""
    grads = np.array([3.0, -4.0])
    assert clip_by_global_norm(grads, limit) == 5.0
    np.testing.assert_allclose(grads, [0.6 * norm, -0.8 * norm], rtol=1e-14)


def test_clipping_of_zero_is_no_clipping() -> None:
    grads = np.array([3e5, 4e5])
    assert clip_by_global_norm(grads, 0.0) == 5e5
    np.testing.assert_array_equal(grads, [3e5, 4e5])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(DivergedError, match="norm of the gradient"):
        clip_by_global_norm(np.array([1.0, bad]), 1.0)


def test_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of adam"):
        find_optimizer("adagrad", 1, np.float32)
