"""The GRU cell as in the paper and in the course: the reset (relevance) gate acts before the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078, equations 5 to 8. In `torch.nn.GRU` and cuDNN the gate acts after the product
(`gru.py`), so PyTorch has no such cell; names, shapes and gate order r z n are those of its GRU.
In the course's notation, r is the relevance gate, n the candidate c~, and the update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h_prev), sigmoid(z_z + W_z h_prev)
    s    = r * h_prev
    n    = tanh(z_n + W_n s)
    h    = (1 - z) * n + z * h_prev

The second product of a step depends on the first, which is why libraries moved the gate.
Memory of a window: 5 T B H values per layer, and 4 more per step of a chunk (`time_chunks`) in the backward pass.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import (
    Cell,
    CellCache,
    Recurrence,
    RecurrenceGrads,
    State,
    Step,
    StepArrays,
    gate_activation,
    time_chunks,
)


class GRUBefore(Cell):
    """Gated recurrent unit with the reset gate before the product; its state is (h,). A step saves s."""

    gates = 3
    is_sigmoid_gate = (True, True, False)
    gate_names = ("reset", "update", "candidate")
    saved_arrays = 1

    def gate_views(self, gates: Array) -> tuple[Array, ...]:
        """Return the views rz, r, z and n; rz is r and z as one array: see `Cell.gate_views`."""
        return (gates[:2], *gates)

    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equations of one step: see `Cell.make_step`."""
        hidden = weights.matrix.shape[1]
        u_rz, u_n = work.array("u_rz", 2, streams, hidden), work.array("u_n", streams, hidden)
        multiply_rz = weights.packed.columns(slice(0, 2 * hidden), work).into(u_rz)
        multiply_n = weights.packed.columns(slice(2 * hidden, None), work, "blocks_n").into(u_n)
        activate = gate_activation(weights.gate_scale(streams)[:2])

        def step(arrays: StepArrays, z_in: Array) -> None:
            (h_prev,), (rz, r, z, n), (h,), (s,) = arrays
            multiply_rz(h_prev)
            np.add(z_in[:2], u_rz, rz)
            activate(rz)
            np.multiply(r, h_prev, s)  # s = r * h_prev
            multiply_n(s)
            np.add(z_in[2], u_n, n)
            np.tanh(n, n)  # n = tanh(z_n + W_n s)
            np.subtract(h_prev, n, h)
            np.multiply(z, h, h)
            np.add(n, h, h)  # h = n + z * (h_prev - n)

        return step

    def backward(
        self,
        weights: Recurrence,
        cache: CellCache,
        work: Workspace,
        dhs: Array,
        dlast: State | None,
        grads: RecurrenceGrads,
    ) -> tuple[Array, State]:
        """Back-propagate through a window: see `Backward`.

        Given dh of a step, with * elementwise,
            dz_n = dh * [(1 - z) (1 - n^2)]         ds = W_n^T dz_n
            dz_z = dh * [(h_prev - n) z (1 - z)]
            dz_r = ds * [h_prev r (1 - r)]
            dh_prev = dh * z + ds * r + W_rz^T (dz_r, dz_z)
        The factors in brackets are computed for a chunk of steps at once.
        """
        _, steps, streams, hidden = cache.gates.shape
        dh, ds, direct = (work.array(name, streams, hidden) for name in ("dh", "ds", "direct"))
        dh[...] = 0 if dlast is None else dlast[0]
        multiply_rz = PackedMatrix(weights.matrix[: 2 * hidden], work).sum_into(dh, 2)
        multiply_n = PackedMatrix(weights.matrix[2 * hidden :], work, "blocks_n").into(ds)
        h_prevs, ss = cache.previous(0), cache.saved[0]
        dzs = cache.gates.swapaxes(0, 1)
        for chunk in time_chunks(steps, streams * hidden, self.tuning):
            for_r, for_zn = local_derivatives(cache.gates[:, chunk], h_prevs[chunk], work)
            for t, dh_t, dz, factor_r, factor_zn in zip(
                reversed(range(steps)[chunk]),
                dhs[chunk][::-1],
                dzs[chunk][::-1],
                for_r[::-1],
                for_zn.swapaxes(0, 1)[::-1],
                strict=True,
            ):
                r, z, dz_n = dz  # r and z, until they are replaced by dz_r and dz_z
                np.add(dh, dh_t, dh)
                np.multiply(dh, z, direct)  # backward of z * h_prev
                np.multiply(dh, factor_zn, dz[1:])  # backward of h, the gate z and n = tanh(z_n + W_n s)
                multiply_n(dz_n)  # backward of W_n s
                np.multiply(ds, r, dh)  # backward of s = r * h_prev, to h_prev
                np.add(direct, dh, direct)
                np.multiply(ds, factor_r, r)  # backward of s = r * h_prev and the gate r
                multiply_rz(dz[:2])  # backward of W_r h_prev and W_z h_prev
                np.add(dh, direct, dh)
                if t in cache.resets:
                    dh *= cache.resets[t]
        write_gradient(cache.gates[:2], h_prevs, grads.matrix[: 2 * hidden], work)
        write_gradient(cache.gates[2:], ss, grads.matrix[2 * hidden :], work)
        return cache.gates, (dh.copy(),)


def local_derivatives(gates: Array, h_prevs: Array, work: Workspace) -> tuple[Array, Array]:
    """Return the factors in brackets of `GRUBefore.backward` for n steps, in scratch memory.

    gates: (3, n, B, H).  h_prevs: (n, B, H).
    Returns the factor of dz_r, (n, B, H), and those of dz_z and dz_n, (2, n, B, H).
    """
    for_r, part = (work.scratch(name, *h_prevs.shape) for name in ("for_r", "part"))
    for_zn = work.scratch("for_zn", 2, *h_prevs.shape)
    r, z, n = gates
    for_z, for_n = for_zn
    np.subtract(1, r, for_r)
    np.multiply(for_r, r, for_r)
    np.multiply(for_r, h_prevs, for_r)  # h_prev r (1 - r)
    np.subtract(1, z, for_z)
    np.multiply(n, n, for_n)
    np.subtract(1, for_n, for_n)
    np.multiply(for_n, for_z, for_n)  # (1 - z) (1 - n^2)
    np.multiply(for_z, z, for_z)
    np.subtract(h_prevs, n, part)
    np.multiply(for_z, part, for_z)  # (h_prev - n) z (1 - z)
    return for_r, for_zn
