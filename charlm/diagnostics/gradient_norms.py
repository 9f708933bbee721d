"""How the loss of one character depends on the states before it.

    loss_t    = -ln p(x<t+1> | x<1> ... x<t>)
    dh_(t-k)  = d loss_t / d h_(t-k)              k = 0, 1, 2, ...

By the chain rule dh_(t-k) is dh_t times the Jacobians of k steps. Where these shrink, it vanishes, and nothing is
learned about what lies further back; where they stretch, it explodes.
Source: Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013, arXiv:1211.5063, equations 3 to 5.

Every stream has one t of its own, the last step of its window, so one pass back over a batch of places measures all
of them, at every k. The window is run as windows of one step each: what the backward of a long window keeps to itself
stands between them. Memory in values: those of a training window of T steps, and two copies of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charlm.arrays import Array, Ids
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.base import NetworkState
from charlm.nn.cells.cell import RecurrenceGrads
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.stack import StackPass


def gradient_norms(network: Network, params: Parameters, inputs: Ids, targets: Ids, state: NetworkState) -> Array:
    """Return the L2 norm of d loss_t / d h_(t-k), for k = 0 to T-1: (L, T, B), not finite where it overflows.

    inputs: (T, B), of which the last are x<t>.  targets: (B,), x<t+1>.  state: before the first input.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        walk = walk_back(network, params, inputs, targets, state)
        norms = [[np.linalg.norm(dh, axis=1) for dh in dhs] for dhs in walk]
    return np.array(norms).transpose(1, 0, 2)


def walk_back(
    network: Network, params: Parameters, inputs: Ids, targets: Ids, state: NetworkState
) -> Iterator[list[Array]]:
    """Yield d loss_t / d h_(t-k) for k = 0 to T-1, each as one array (B, H) a layer; arguments as for `gradient_norms`.

    It is the whole derivative, over the state of the layer itself and over the layers above.
    """
    work = Workspace(params.flat.dtype)
    runs = run_step_by_step(network, params, inputs, state, work)
    streams, hidden = runs[-1].outputs[-1].shape[1:]
    recurrent = network.layout["rnn.weight_hh_l0"]
    unused = RecurrenceGrads(np.empty(recurrent, work.dtype), np.empty(recurrent[0], work.dtype))
    from_above = of_loss(params, runs[-1].outputs[-1][0], targets)
    dlast: NetworkState | None = None
    for run in reversed(runs):
        dhs: list[Array] = []
        dstate: NetworkState = []
        for layer in reversed(range(network.config.layers)):
            later = None if dlast is None else dlast[layer]
            dhs.insert(0, from_above if later is None else from_above + later[0])
            dzs, dfirst = run.backwards[layer](from_above[None].copy(), later, unused)
            dstate.insert(0, dfirst)
            if layer:
                weight = PackedMatrix(params[f"rnn.weight_ih_l{layer}"])
                (from_above,) = weight.fill_sum(np.empty((1, streams, hidden), work.dtype), dzs)  # undoes W_ih x
        yield dhs
        dlast, from_above = dstate, np.zeros((streams, hidden), work.dtype)


def run_step_by_step(
    network: Network, params: Parameters, inputs: Ids, state: NetworkState, work: Workspace
) -> list[StackPass]:
    """Run a window forward, each step in a room of its own, so that each can be undone by itself."""
    prepared = network.stack.prepare(params)
    runs: list[StackPass] = []
    for t, ids in enumerate(inputs):
        before = runs[-1].state if runs else state
        runs.append(network.stack.forward(params, ids[None], before, work.scope(f"step{t}"), prepared=prepared))
    return runs


def of_loss(params: Parameters, tops: Array, targets: Ids) -> Array:
    """Return d loss / d h of the last layer, for each row its own loss.  tops: h, (B, H).  targets: (B,)."""
    weight = params["head.weight"]
    _, dlogits = cross_entropy(tops @ weight.T + params["head.bias"], targets, None, 1.0)
    back: Array = dlogits @ weight
    return back


def reached(inputs: Ids, start: int) -> Ids:
    """Return whether h_(t-k) is in the same text as t, for k = 0 to T-1: (T, B), true and false.

    Where an input is `start`, its stream begins anew, and nothing depends on the states before.
    """
    begins = (inputs[::-1] == start).cumsum(axis=0)  # at k or nearer to t
    behind = np.zeros_like(begins)
    behind[1:] = begins[:-1]
    same: Ids = behind == 0
    return same
