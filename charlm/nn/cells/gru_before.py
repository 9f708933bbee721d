"""The GRU cell as it was published, and as the course has it: the relevance gate acts before the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8. `torch.nn.GRU` and cuDNN have it behind the product
(`gru.py`), so PyTorch has no such cell; names, shapes and gate order r z n are those of its GRU.
In the words of the course: r is the relevance gate, n the candidate c~, and its update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h_prev), sigmoid(z_z + W_z h_prev)
    s    = r * h_prev
    n    = tanh(z_n + W_n s)
    h    = (1 - z) * n + z * h_prev

A step has two products, the second behind the first: this is why libraries moved the gate.
Memory of a window: 5 T H B values a layer, 5 that all layers share, and 4 more for a run of steps (`spans`).
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
)
from charlm.nn.workspace import Workspace, columns, multiply, stacked, sum_columns


class GRUBefore(Cell):
    """Gated recurrent unit, its reset gate before the product; its state is (h,)."""

    gates = 3
    halved = (True, True, False)

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        hidden = len(h_prev)
        gates = weights.scaled[: 2 * hidden] @ h_prev
        gates += z[: 2 * hidden]
        np.tanh(gates, out=gates)
        sigmoid_of_halved(gates)
        r, update = gates[:hidden], gates[hidden:]
        n = weights.scaled[2 * hidden :] @ (r * h_prev)
        n += z[2 * hidden :]
        np.tanh(n, out=n)
        h = h_prev - n
        h *= update
        h += n
        return (h,)

    def forward(
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        steps, rows, streams = zs.shape
        hidden = rows // 3
        hs = work.array("hs", steps + 1, hidden, streams)  # hs[t] enters step t, hs[t + 1] leaves it
        ss = work.array("ss", steps, hidden, streams)
        u, v = work.array("u", 2 * hidden, streams), work.array("v", hidden, streams)
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        gates = zs.reshape(steps, 3, hidden, streams)
        w_rz, w_n = stacked(weights.scaled[: 2 * hidden], streams), stacked(weights.scaled[2 * hidden :], streams)
        u_stack, v_stack = u.reshape(len(w_rz), -1, streams), v.reshape(len(w_n), -1, streams)
        for t, (a, (r, z, n), s, h_prev, h) in enumerate(zip(zs, gates, ss, hs, hs[1:], strict=False)):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(w_rz, h_prev, u_stack)
            rz = a[: 2 * hidden]
            np.add(rz, u, out=rz)
            np.tanh(rz, out=rz)
            sigmoid_of_halved(rz)
            np.multiply(r, h_prev, out=s)
            multiply(w_n, s, v_stack)
            np.add(n, v, out=n)
            np.tanh(n, out=n)
            np.subtract(h_prev, n, out=h)
            np.multiply(z, h, out=h)
            np.add(n, h, out=h)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward(weights, gates, hs, ss, keep, dhs, dlast, grads, work)

        return hs[1:], last, undo


def backward(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    ss: Array,
    keep: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Undo a window of `GRUBefore.forward`, see `Undo`.

    gates: r z n of every step, (T, 3, H, B); replaced by dz.  ss: r * h_prev, (T, H, B).

    Given dh of a step, with * elementwise,
        dz_n = dh * [(1 - z) (1 - n^2)]         ds = W_n^T dz_n
        dz_z = dh * [(h_prev - n) z (1 - z)]
        dz_r = ds * [h_prev r (1 - r)]
        dh_prev = dh * z + ds * r + W_rz^T (dz_r, dz_z)
    What stands in brackets is computed for a run of steps at once.
    """
    steps, _, hidden, streams = gates.shape
    rz_rows, n_rows = slice(0, 2 * hidden), slice(2 * hidden, None)
    turned = transposed(weights.matrix, work)
    rz_t = np.ascontiguousarray(turned[:, rz_rows])
    n_t = stacked(np.ascontiguousarray(turned[:, n_rows]), streams)
    dh, ds, direct = (work.array(name, hidden, streams) for name in ("dh", "ds", "direct"))
    dh[...] = 0 if dlast is None else dlast[0]
    ds_stack = ds.reshape(len(n_t), -1, streams)
    restarts = restarting_steps(keep, steps)
    h_ins = restart(hs[:-1], keep)
    for span in spans(steps, hidden, streams):
        to_z = local_derivatives(gates[span], h_ins[span], work)
        ts = range(span.start, span.stop)
        for t, dh_t, dz, local in zip(reversed(ts), dhs[span][::-1], gates[span][::-1], to_z[::-1], strict=True):
            r, z, n = dz  # and where dz will stand
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, z, out=direct)  # undoes z * h_prev
            np.multiply(dh, local[1:], out=dz[1:])  # undoes the update gate, and the candidate
            multiply(n_t, n, ds_stack)  # undoes W_n s
            np.multiply(ds, r, out=dh)  # undoes s = r * h_prev
            np.add(direct, dh, out=direct)
            np.multiply(ds, local[0], out=r)  # undoes the reset gate
            np.matmul(rz_t, dz[:2].reshape(2 * hidden, streams), out=dh)  # undoes W_rz h_prev
            np.add(dh, direct, out=dh)
            if restarts[t] and keep is not None:
                dh *= keep[t]
    dzs = columns(gates.reshape(steps, 3 * hidden, streams), work.scratch("wide", 3 * hidden, steps * streams))
    room = work.scratch("columns", hidden, steps * streams)
    np.matmul(dzs[rz_rows], columns(h_ins, room).T, out=grads.matrix[rz_rows])
    np.matmul(dzs[n_rows], columns(ss, room).T, out=grads.matrix[n_rows])
    grads.bias[...] = sum_columns(dzs)
    return dzs, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, work: Workspace) -> Array:
    """Compute the brackets of `backward` for a run of k steps, (k, 3, H, B)."""
    k, _, hidden, streams = gates.shape
    to_z = work.scratch("to_z", k, 3, hidden, streams)
    n = gates[:, 2]
    np.subtract(1, gates[:, :2], out=to_z[:, :2])
    np.multiply(n, n, out=to_z[:, 2])
    np.subtract(1, to_z[:, 2], out=to_z[:, 2])
    to_z[:, 2] *= to_z[:, 1]  # (1 - z) (1 - n^2)
    to_z[:, :2] *= gates[:, :2]
    to_z[:, 0] *= h_ins
    between = np.subtract(h_ins, n, out=work.scratch("between", k, hidden, streams))
    to_z[:, 1] *= between
    return to_z
