"""The GRU cell, in PyTorch's variant: the reset (relevance) gate acts behind the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078; the variant is that of `torch.nn.GRU` and cuDNN. Gate order r z n.
In the words of the course: r is the relevance gate, n the candidate c~, and its update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h + b_r), sigmoid(z_z + W_z h + b_z)
    q    = W_n h + b_n
    n    = tanh(z_n + r * q)
    h    = (1 - z) * n + z * h_prev

Memory of a window: 7 T H B values a layer, 7 that all layers share, and 4 more for a run of
steps (`spans`) on the way back.
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


class GRU(Cell):
    """Gated recurrent unit; its state is (h,)."""

    gates = 3
    halved = (True, True, False)
    torch_name = "GRU"

    def bias_in_input(self, hidden: int) -> int:
        """b_n stays inside: the reset gate multiplies it."""
        return 2 * hidden

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        hidden = len(h_prev)
        u = product(weights.scaled, h_prev)
        gates = u[: 2 * hidden]
        gates += z[: 2 * hidden]
        np.tanh(gates, out=gates)
        sigmoid_of_halved(gates)
        r, update = gates[:hidden], gates[hidden:]
        q = u[2 * hidden :]
        q += weights.bias[2 * hidden :]
        q *= r
        q += z[2 * hidden :]
        n = np.tanh(q, out=q)
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
        us = work.array("us", steps, rows, streams)
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        bias_n = np.ascontiguousarray(np.broadcast_to(weights.bias[2 * hidden :], (hidden, streams)))
        w = stacked(weights.scaled, streams)
        rz_rows, n_rows = slice(0, 2 * hidden), slice(2 * hidden, None)
        for t, (a, (r, z, n), u, h_prev, h) in enumerate(
            zip(zs, zs.reshape(steps, 3, hidden, streams), us, hs, hs[1:], strict=False)
        ):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(w, h_prev, u.reshape(len(w), -1, streams))
            rz, q = a[rz_rows], u[n_rows]
            np.add(rz, u[rz_rows], out=rz)
            np.tanh(rz, out=rz)
            sigmoid_of_halved(rz)
            np.add(q, bias_n, out=q)
            np.multiply(r, q, out=h)
            np.add(n, h, out=n)
            np.tanh(n, out=n)
            np.subtract(h_prev, n, out=h)
            np.multiply(z, h, out=h)
            np.add(n, h, out=h)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            gates = zs.reshape(steps, 3, hidden, streams)
            return backward(weights, gates, us, hs, keep, dhs, dlast, grads, work)

        return hs[1:], last, undo


def backward(
    weights: Recurrence,
    gates: Array,
    us: Array,
    hs: Array,
    keep: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Undo a window of `GRU.forward`, see `Undo`.

    gates: r z n of every step, (T, 3, H, B).  us: W_hh h (+ b_n), whose last third is q; replaced by du.

    Given dh of a step, with * elsewhere elementwise,
        dz_n = dh * [(1 - z) (1 - n^2)]         du_n = dz_n r
        dz_z = dh * [(h_prev - n) z (1 - z)]    du_z = dz_z
        dz_r = dz_n q r (1 - r)                 du_r = dz_r
        dh_prev = dh * z + W_hh^T du
    What stands in brackets, and every product with it, is computed for a run of steps at once.
    """
    steps, _, hidden, streams = gates.shape
    rows = 3 * hidden
    matrix_t = stacked(transposed(weights.matrix, work), streams)
    dh, through_z = (work.array(name, hidden, streams) for name in ("dh", "through_z"))
    dh[...] = 0 if dlast is None else dlast[0]
    dh_stack = dh.reshape(len(matrix_t), -1, streams)
    restarts = restarting_steps(keep, steps)
    h_ins = restart(hs[:-1], keep)
    dus = us.reshape(steps, 3, hidden, streams)
    dzs = work.scratch("wide", rows, steps * streams)
    dzs_n = dzs[2 * hidden :].reshape(hidden, steps, streams)
    for span in spans(steps, hidden, streams):
        to_u, to_n = local_derivatives(gates[span], h_ins[span], dus[span, 2], work)
        for t, dh_t, du, local, z in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            dus[span][::-1],
            to_u[::-1],
            gates[span, 1][::-1],
            strict=True,
        ):
            np.add(dh_t, dh, out=dh_t)
            np.multiply(dh_t, local, out=du)  # undoes the three gates
            np.multiply(dh_t, z, out=through_z)  # undoes z * h_prev
            multiply(matrix_t, du.reshape(rows, streams), dh_stack)  # undoes W_hh h
            np.add(dh, through_z, out=dh)
            if restarts[t] and keep is not None:
                dh *= keep[t]
        np.multiply(dhs[span], to_n, out=to_n)
        np.copyto(dzs_n[:, span], to_n.transpose(1, 0, 2))
    dus_columns = columns(us, work.scratch("wide2", rows, steps * streams))
    np.copyto(dzs[: 2 * hidden], dus_columns[: 2 * hidden])
    write_gradients(dus_columns, h_ins, grads, work)
    return dzs, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, qs: Array, work: Workspace) -> tuple[Array, Array]:
    """Compute what dh is multiplied by, for a run of k steps: towards u (k, 3, H, B), and z_n (k, H, B)."""
    k, _, hidden, streams = gates.shape
    to_u = work.scratch("to_u", k, 3, hidden, streams)
    to_n = work.scratch("to_n", k, hidden, streams)
    r, z, n = (gates[:, gate] for gate in range(3))
    to_r, to_z, to_q = (to_u[:, gate] for gate in range(3))
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    np.subtract(1, z, out=to_z)
    to_n *= to_z  # (1 - z) (1 - n^2)
    to_z *= z
    np.subtract(h_ins, n, out=to_r)
    to_z *= to_r  # (h_prev - n) z (1 - z)
    np.multiply(to_n, r, out=to_q)
    np.subtract(1, r, out=to_r)
    to_r *= qs
    to_r *= to_q  # (1 - z) (1 - n^2) q r (1 - r)
    return to_u, to_n
