"""The GRU cell as it was published, and as the course has it: the relevance gate acts before the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8. `torch.nn.GRU` and cuDNN have it behind the product
(`gru.py`), so PyTorch has no such cell; names, shapes and gate order r z n are those of its GRU.
In the words of the course: r is the relevance gate, n the candidate c~, and its update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h_prev), sigmoid(z_z + W_z h_prev)
    s    = r * h_prev
    n    = tanh(z_n + W_n s)
    h    = (1 - z) * n + z * h_prev

A step has two products, the second behind the first: this is why libraries moved the gate.
Memory of a window: 5 T B H values a layer, and 4 more for a run of steps (`time_chunks`).
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import (
    Backward,
    Cell,
    Recurrence,
    RecurrenceGrads,
    State,
    apply_reset,
    parts,
    reset_steps,
    sigmoid_from_tanh,
    time_chunks,
)


class GRUBefore(Cell):
    """Gated recurrent unit, its reset gate before the product; its state is (h,)."""

    gates = 3
    is_sigmoid_gate = (True, True, False)

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        hidden = h_prev.shape[1]
        matrix = weights.factor.matrix
        gates = h_prev.dot(matrix[:, : 2 * hidden])
        gates += z[:, : 2 * hidden]
        np.tanh(gates, out=gates)
        sigmoid_from_tanh(gates)
        r, update = parts(gates, 2)
        n: Array = (r * h_prev).dot(matrix[:, 2 * hidden :])
        n += z[:, 2 * hidden :]
        np.tanh(n, out=n)
        h = h_prev - n
        h *= update
        h += n
        return (h,)

    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[Array, State, Backward]:
        """A window, as in `Cell.forward`."""
        _, steps, streams, hidden = zs.shape
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        ss = work.array("ss", steps, streams, hidden)
        u, v = work.array("u", 2, streams, hidden), work.array("v", streams, hidden)
        hs[0] = state[0]
        resets = reset_steps(reset_mask, steps)
        multiply_rz = weights.factor.columns(slice(0, 2 * hidden), work).into(u)
        multiply_n = weights.factor.columns(slice(2 * hidden, None), work, "blocks_n").into(v)
        for t, (rz, r, z, n, s, h_prev, h) in enumerate(
            zip(zs[:2].swapaxes(0, 1), *zs, ss, hs, hs[1:], strict=False)
        ):
            if resets[t] and reset_mask is not None:
                h_prev = h_prev * reset_mask[t]
            multiply_rz(h_prev)
            np.add(rz, u, out=rz)
            np.tanh(rz, out=rz)
            sigmoid_from_tanh(rz)
            np.multiply(r, h_prev, out=s)
            multiply_n(s)
            np.add(n, v, out=n)
            np.tanh(n, out=n)
            np.subtract(h_prev, n, out=h)
            np.multiply(z, h, out=h)
            np.add(n, h, out=h)
        last = (hs[steps].copy(),)

        def backward(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward_window(weights, zs, hs, ss, reset_mask, dhs, dlast, grads, work)

        return hs[1:], last, backward


def backward_window(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    ss: Array,
    reset_mask: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Backward a window of `GRUBefore.forward`, see `Backward`.

    gates: r z n of every step, (3, T, B, H); replaced by dz.  ss: r * h_prev, (T, B, H).

    Given dh of a step, with * elementwise,
        dz_n = dh * [(1 - z) (1 - n^2)]         ds = W_n^T dz_n
        dz_z = dh * [(h_prev - n) z (1 - z)]
        dz_r = ds * [h_prev r (1 - r)]
        dh_prev = dh * z + ds * r + W_rz^T (dz_r, dz_z)
    What stands in brackets is computed for a run of steps at once.
    """
    _, steps, streams, hidden = gates.shape
    dh, ds, direct = (work.array(name, streams, hidden) for name in ("dh", "ds", "direct"))
    dh[...] = 0 if dlast is None else dlast[0]
    multiply_rz = PackedMatrix(weights.matrix[: 2 * hidden], work).sum_into(dh, 2)
    multiply_n = PackedMatrix(weights.matrix[2 * hidden :], work, "blocks_n").into(ds)
    resets = reset_steps(reset_mask, steps)
    h_ins = apply_reset(hs[:-1], reset_mask)
    for span in time_chunks(steps, hidden, streams):
        to_r, to_zn = local_derivatives(gates[:, span], h_ins[span], work)
        dzs = gates[:, span].swapaxes(0, 1)[::-1]
        for t, dh_t, dz_rz, dz_zn, r, z, dz_n, local_r, local_zn in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            dzs[:, :2],
            dzs[:, 1:],
            dzs[:, 0],  # where dz_r will stand
            dzs[:, 1],  # where dz_z will stand
            dzs[:, 2],
            to_r[::-1],
            to_zn.swapaxes(0, 1)[::-1],
            strict=True,
        ):
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, z, out=direct)  # undoes z * h_prev
            np.multiply(dh, local_zn, out=dz_zn)  # undoes the update gate, and the candidate
            multiply_n(dz_n)  # undoes W_n s
            np.multiply(ds, r, out=dh)  # undoes s = r * h_prev
            np.add(direct, dh, out=direct)
            np.multiply(ds, local_r, out=r)  # undoes the reset gate
            multiply_rz(dz_rz)  # undoes W_rz h_prev
            np.add(dh, direct, out=dh)
            if resets[t] and reset_mask is not None:
                dh *= reset_mask[t]
    write_gradient(gates[:2], h_ins, grads.matrix[: 2 * hidden], work)
    write_gradient(gates[2:], ss, grads.matrix[2 * hidden :], work)
    return gates, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, work: Workspace) -> tuple[Array, Array]:
    """Compute the brackets of `backward_window` for a run of k steps: of r (k, B, H), of z and n (2, k, B, H)."""
    to_r, between = (work.scratch(name, *h_ins.shape) for name in ("to_r", "between"))
    to_zn = work.scratch("to_zn", 2, *h_ins.shape)
    r, z, n = gates
    to_update, to_n = to_zn
    np.subtract(1, r, out=to_r)
    to_r *= r
    to_r *= h_ins
    np.subtract(1, z, out=to_update)
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    to_n *= to_update  # (1 - z) (1 - n^2)
    to_update *= z
    to_update *= np.subtract(h_ins, n, out=between)
    return to_r, to_zn
