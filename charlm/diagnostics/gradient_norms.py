"""Gradients of the loss of one character with respect to the hidden states before it.

    loss_t    = -ln p(x<t+1> | x<1> ... x<t>)
    dh_(t-k)  = d loss_t / d h_(t-k)              k = 0, 1, 2, ...

By the chain rule dh_(t-k) is dh_t times the Jacobians of k steps. Where these shrink vectors, it vanishes, and the
network cannot learn from earlier characters; where they stretch vectors, it explodes.
References: Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013, arXiv:1211.5063, equations 3 to 5.

Each stream has its own t, the last step of its window, so one backward pass over a batch measures all k of B
positions. The forward pass runs one-step windows, because the backward pass of a longer window returns only the
gradient of its first state. Memory in values: those of a training window of T steps, and two copies of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.base import NetworkState
from charlm.nn.cells.cell import RecurrenceGrads
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.stack import StackCache


def gradient_norms(network: Network, params: Parameters, inputs: Ids, targets: Ids, state: NetworkState) -> Array:
    """Return the L2 norms of d loss_t / d h_(t-k).

    Parameters
    ----------
    network, params : Network, Parameters
        The model.
    inputs : ndarray of int, (T, B)
        Windows that end with x<t>.
    targets : ndarray of int, (B,)
        x<t+1>.
    state : NetworkState
        The state before the windows.

    Returns
    -------
    ndarray, (L, T, B)
        The norm for each layer and k = 0 to T-1; not finite where it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gradients = state_gradients(network, params, inputs, targets, state)
        norms = [[np.linalg.norm(dh, axis=1) for dh in dhs] for dhs in gradients]
    return np.array(norms).transpose(1, 0, 2)


def state_gradients(
    network: Network, params: Parameters, inputs: Ids, targets: Ids, state: NetworkState
) -> Iterator[list[Array]]:
    """Yield d loss_t / d h_(t-k) for k = 0 to T-1, as one array (B, H) per layer.

    These are total derivatives, through the later states of the layer and through the layers above.
    Parameters are those of `gradient_norms`.
    """
    work = Workspace(params.flat.dtype)
    passes = forward_step_by_step(network, params, inputs, state, work)
    tops = passes[-1].outputs[-1][0]  # (B, H)
    recurrent = network.layout["rnn.weight_hh_l0"]
    unused = RecurrenceGrads(np.empty(recurrent, work.dtype), np.empty(recurrent[0], work.dtype))
    from_above = loss_gradient(params, tops, targets)
    dlast: NetworkState | None = None
    for step in reversed(passes):
        dhs: list[Array] = []
        dstate: NetworkState = []
        for layer in reversed(range(network.config.layers)):
            later = None if dlast is None else dlast[layer]
            dhs.insert(0, from_above if later is None else from_above + later[0])
            dzs, dfirst = step.backwards[layer](from_above[None].copy(), later, unused)
            dstate.insert(0, dfirst)
            if layer:
                weight = PackedMatrix(params[f"rnn.weight_ih_l{layer}"])
                (from_above,) = weight.fill_sum(np.empty((1, *tops.shape), work.dtype), dzs)  # backward of W_ih x
        yield dhs
        dlast, from_above = dstate, np.zeros(tops.shape, work.dtype)


def forward_step_by_step(
    network: Network, params: Parameters, inputs: Ids, state: NetworkState, work: Workspace
) -> list[StackCache]:
    """Run the forward pass of a window in one-step windows, each with its own buffers and backward pass."""
    prepared = network.stack.prepare(params)
    passes: list[StackCache] = []
    for t, ids in enumerate(inputs):
        passes.append(network.stack.forward(params, ids[None], state, work.scope(f"step{t}"), prepared=prepared))
        state = passes[-1].state
    return passes


def loss_gradient(params: Parameters, tops: Array, targets: Ids) -> Array:
    """Return d loss / d h of the last layer, (B, H), of each row's own loss. tops: h, (B, H). targets: (B,)."""
    weight = params["head.weight"]
    _, dlogits = cross_entropy(tops @ weight.T + params["head.bias"], targets, None, 1.0)
    gradient: Array = dlogits @ weight
    return gradient


def is_same_text(inputs: Ids, start: int) -> Mask:
    """Return whether h_(t-k) is in the same text as t, for k = 0 to T-1, (T, B).

    An input equal to `start` resets its stream's state, so the loss does not depend on the states before it.
    """
    is_reset = inputs[::-1] == start
    same: Mask = is_reset.cumsum(axis=0) == is_reset  # no reset closer to t
    return same
