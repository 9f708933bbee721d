"""The simplified GRU of the course: an update gate alone, and c<t> = a<t>.

Source: the minimal step from a plain cell to the GRU of Cho et al. 2014, arXiv:1406.1078, without its reset
(relevance) gate. PyTorch has no such cell; the weights are named and shaped as its GRU's, with the gates z n.
In the words of the course: n is the candidate c~, and its update gate is 1 - z, as in `gru.py`.

    z = sigmoid(z_z + W_z h_prev)
    n = tanh(z_n + W_n h_prev)
    h = (1 - z) * n + z * h_prev

Memory of a window: 3 T B H values a layer, and 3 more for a run of steps (`time_chunks`).
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


class SimpleGRU(Cell):
    """Gated recurrent unit without a reset gate; its state is (h,)."""

    gates = 2
    is_sigmoid_gate = (True, False)

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        a = weights.factor.times(h_prev)
        a += z
        np.tanh(a, out=a)
        update, n = parts(a, 2)
        sigmoid_from_tanh(update)
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
        u = work.array("u", 2, streams, hidden)
        hs[0] = state[0]
        resets = reset_steps(reset_mask, steps)
        multiply = weights.factor.into(u)
        for t, (a, z, n, h_prev, h) in enumerate(zip(zs.swapaxes(0, 1), *zs, hs, hs[1:], strict=False)):
            if resets[t] and reset_mask is not None:
                h_prev = h_prev * reset_mask[t]
            multiply(h_prev)
            np.add(a, u, out=a)
            np.tanh(a, out=a)
            sigmoid_from_tanh(z)
            np.subtract(h_prev, n, out=h)
            np.multiply(z, h, out=h)
            np.add(n, h, out=h)
        last = (hs[steps].copy(),)

        def backward(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward_window(weights, zs, hs, reset_mask, dhs, dlast, grads, work)

        return hs[1:], last, backward


def backward_window(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    reset_mask: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Backward a window of `SimpleGRU.forward`, see `Backward`.

    gates: z n of every step, (2, T, B, H); replaced by dz.

    Given dh of a step, with * elementwise,
        dz_z = dh * [(h_prev - n) z (1 - z)]    dz_n = dh * [(1 - z) (1 - n^2)]
        dh_prev = dh * z + W_hh^T dz
    What stands in brackets is computed for a run of steps at once.
    """
    _, steps, streams, hidden = gates.shape
    dh, through_z = (work.array(name, streams, hidden) for name in ("dh", "through_z"))
    dh[...] = 0 if dlast is None else dlast[0]
    multiply = PackedMatrix(weights.matrix, work).sum_into(dh, 2)
    resets = reset_steps(reset_mask, steps)
    h_ins = apply_reset(hs[:-1], reset_mask)
    for span in time_chunks(steps, hidden, streams):
        to_z = local_derivatives(gates[:, span], h_ins[span], work)
        for t, dh_t, z, dz, local in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            gates[0, span][::-1],  # where dz_z will stand
            gates[:, span].swapaxes(0, 1)[::-1],
            to_z.swapaxes(0, 1)[::-1],
            strict=True,
        ):
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, z, out=through_z)  # undoes z * h_prev
            np.multiply(dh, local, out=dz)  # undoes the gate and the candidate
            multiply(dz)  # undoes W_hh h
            np.add(dh, through_z, out=dh)
            if resets[t] and reset_mask is not None:
                dh *= reset_mask[t]
    write_gradient(gates, h_ins, grads.matrix, work)
    return gates, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, work: Workspace) -> Array:
    """Compute the brackets of `backward_window` for a run of k steps, (2, k, B, H)."""
    to_z = work.scratch("to_z", *gates.shape)
    one_less_z = work.scratch("one_less_z", *h_ins.shape)
    z, n = gates
    to_update, to_n = to_z
    np.subtract(1, z, out=one_less_z)
    np.subtract(h_ins, n, out=to_update)
    to_update *= z
    to_update *= one_less_z
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    to_n *= one_less_z
    return to_z
