"""Numeric gradients along random directions (the test of HIPS/autograd's `test_util`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charlm.kernels.workspace import Workspace, rows
from charlm.nn.base import NetworkState
from charlm.nn.layers import head_loss_and_grads
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.window import Window

STEP = 1e-6


def backpropagate(
    network: Network, params: Parameters, grads: Parameters, window: Window, state: NetworkState,
    dlast: NetworkState | None, rng: np.random.Generator | None = None,
) -> tuple[float, NetworkState, NetworkState]:  # fmt: skip
    """Return loss, last state and gradient of the first state, given the gradient of the last state."""
    work = Workspace(params.flat.dtype)
    cache = network.stack.forward(params, window.inputs, state, work, rng)
    dhs = np.empty_like(cache.outputs[-1])
    loss = head_loss_and_grads(params, grads, window, rows(cache.output(-1, work)), rows(dhs), work)
    return loss, cache.state, network.stack.backward(params, grads, cache, dhs, dlast, work)


def directional(function: Callable[[float], float]) -> float:
    """Return d function(s) / ds at 0, by central differences."""
    return (function(STEP) - function(-STEP)) / (2 * STEP)


def assert_close(numeric: float, analytic: float, what: str, tolerance: float = 1e-6) -> None:
    """Fail and print both values unless they agree and are not zero."""
    assert abs(numeric) > 1e-6, f"{what}: the gradient is zero, which tests nothing"
    error = abs(numeric - analytic) / max(abs(numeric), abs(analytic))
    assert error <= tolerance, f"{what}: numeric {numeric!r}, analytic {analytic!r}, relative error {error:.2e}"


def random_state(rng: np.random.Generator, like: NetworkState) -> NetworkState:
    """Draw a state of the same shapes."""
    return [tuple(rng.standard_normal(array.shape) for array in layer) for layer in like]


def inner(a: NetworkState, b: NetworkState) -> float:
    """Return the inner product of two states."""
    return sum(float((x * y).sum()) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))
