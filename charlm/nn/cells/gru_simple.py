"""The simplified GRU of the course: an update gate alone, and c<t> = a<t>.

Source: the minimal step from a plain cell to the GRU of Cho et al. 2014, arXiv:1406.1078, without its reset
(relevance) gate. PyTorch has no such cell; the weights are named and shaped as its GRU's, with the gates z n.
In the words of the course: n is the candidate c~, and its update gate is 1 - z, as in `gru.py`.

    z = sigmoid(z_z + W_z h_prev)
    n = tanh(z_n + W_n h_prev)
    h = (1 - z) * n + z * h_prev

Memory of a window: 3 T H B values a layer, 4 that all layers share, and 3 more for a run of steps (`spans`).
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.cell import (
    Cell,
    Recurrence,
    RecurrenceGrads,
    State,
    Undo,
    restart,
    restarting_steps,
    sigmoid_of_halved,
    spans,
    transposed,
    write_gradients,
)
from charlm.nn.workspace import Workspace, columns, multiply, product, stacked


class SimpleGRU(Cell):
    """Gated recurrent unit without a reset gate; its state is (h,)."""

    gates = 2
    halved = (True, False)

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        hidden = len(h_prev)
        a = product(weights.scaled, h_prev)
        a += z
        np.tanh(a, out=a)
        update, n = a[:hidden], a[hidden:]
        sigmoid_of_halved(update)
        h = h_prev - n
        h *= update
        h += n
        return (h,)

    def forward(
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        steps, rows, streams = zs.shape
        hidden = rows // 2
        hs = work.array("hs", steps + 1, hidden, streams)  # hs[t] enters step t, hs[t + 1] leaves it
        u = work.array("u", rows, streams)
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        gates = zs.reshape(steps, 2, hidden, streams)
        w = stacked(weights.scaled, streams)
        u_stack = u.reshape(len(w), -1, streams)
        for t, (a, (z, n), h_prev, h) in enumerate(zip(zs, gates, hs, hs[1:], strict=False)):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(w, h_prev, u_stack)
            np.add(a, u, out=a)
            np.tanh(a, out=a)
            sigmoid_of_halved(z)
            np.subtract(h_prev, n, out=h)
            np.multiply(z, h, out=h)
            np.add(n, h, out=h)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward(weights, gates, hs, keep, dhs, dlast, grads, work)

        return hs[1:], last, undo


def backward(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    keep: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Undo a window of `SimpleGRU.forward`, see `Undo`.

    gates: z n of every step, (T, 2, H, B); replaced by dz.

    Given dh of a step, with * elementwise,
        dz_z = dh * [(h_prev - n) z (1 - z)]    dz_n = dh * [(1 - z) (1 - n^2)]
        dh_prev = dh * z + W_hh^T dz
    What stands in brackets is computed for a run of steps at once.
    """
    steps, _, hidden, streams = gates.shape
    matrix_t = stacked(transposed(weights.matrix, work), streams)
    dh, through_z = (work.array(name, hidden, streams) for name in ("dh", "through_z"))
    dh[...] = 0 if dlast is None else dlast[0]
    dh_stack = dh.reshape(len(matrix_t), -1, streams)
    restarts = restarting_steps(keep, steps)
    h_ins = restart(hs[:-1], keep)
    for span in spans(steps, hidden, streams):
        to_z = local_derivatives(gates[span], h_ins[span], work)
        ts = range(span.start, span.stop)
        for t, dh_t, dz, local in zip(reversed(ts), dhs[span][::-1], gates[span][::-1], to_z[::-1], strict=True):
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, dz[0], out=through_z)  # undoes z * h_prev; z stands where dz_z will
            np.multiply(dh, local, out=dz)  # undoes the gate and the candidate
            multiply(matrix_t, dz.reshape(2 * hidden, streams), dh_stack)  # undoes W_hh h
            np.add(dh, through_z, out=dh)
            if restarts[t] and keep is not None:
                dh *= keep[t]
    dzs = columns(gates.reshape(steps, 2 * hidden, streams), work.scratch("wide", 2 * hidden, steps * streams))
    write_gradients(dzs, h_ins, grads, work)
    return dzs, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, work: Workspace) -> Array:
    """Compute the brackets of `backward` for a run of k steps, (k, 2, H, B)."""
    k, _, hidden, streams = gates.shape
    to_z = work.scratch("to_z", k, 2, hidden, streams)
    one_less_z = work.scratch("one_less_z", k, hidden, streams)
    z, n = gates[:, 0], gates[:, 1]
    np.subtract(1, z, out=one_less_z)
    np.subtract(h_ins, n, out=to_z[:, 0])
    to_z[:, 0] *= z
    np.multiply(n, n, out=to_z[:, 1])
    np.subtract(1, to_z[:, 1], out=to_z[:, 1])
    to_z *= one_less_z[:, None]
    return to_z
