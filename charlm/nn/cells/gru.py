"""The GRU cell in PyTorch's variant: the reset (relevance) gate acts after the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078; the variant is that of `torch.nn.GRU` and cuDNN. Gate order r z n.
In the course's notation, r is the relevance gate, n the candidate c~, and the update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h_prev + b_r), sigmoid(z_z + W_z h_prev + b_z)
    q    = W_n h_prev + b_n
    n    = tanh(z_n + r * q)
    h    = (1 - z) * n + z * h_prev

Memory of a window: 5 T B H values per layer, and 4 more per step of a chunk (`time_chunks`) in the backward pass.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, rows, sum_rows
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


class GRU(Cell):
    """Gated recurrent unit; its state is (h,). A step saves q."""

    gates = 3
    is_sigmoid_gate = (True, True, False)
    gate_names = ("reset", "update", "candidate")
    saved_arrays = 1
    torch_name = "GRU"

    def bias_in_input(self, hidden: int) -> int:
        """Return 2 H: `zs` includes b_r and b_z; the step adds b_n itself, as the reset gate multiplies it."""
        return 2 * hidden

    def gate_views(self, gates: Array) -> tuple[Array, ...]:
        """Return the views rz, r, z and n; rz is r and z as one array: see `Cell.gate_views`."""
        return (gates[:2], *gates)

    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equations of one step: see `Cell.make_step`."""
        hidden = weights.matrix.shape[1]
        u, rq = work.array("gates", 3, streams, hidden), work.array("rq", streams, hidden)
        u_rz, u_n = u[:2], u[2]
        bias_n = np.resize(weights.bias[:, 2 * hidden :], (streams, hidden))  # NumPy adds equal shapes faster
        multiply, activate = weights.packed.into(u), gate_activation(weights.gate_scale(streams)[:2])

        def step(arrays: StepArrays, z_in: Array) -> None:
            (h_prev,), (rz, r, z, n), (h,), (q,) = arrays
            multiply(h_prev)  # u = W_hh h_prev
            np.add(z_in[:2], u_rz, rz)
            activate(rz)
            np.add(u_n, bias_n, q)  # q = W_n h_prev + b_n
            np.multiply(r, q, rq)
            np.add(z_in[2], rq, n)
            np.tanh(n, n)  # n = tanh(z_n + r * q)
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
            dz_n = dh * [(1 - z) (1 - n^2)]         dq = dh * [(1 - z) (1 - n^2) r]
            dz_z = dh * [(h_prev - n) z (1 - z)]
            dz_r = dh * [(1 - z) (1 - n^2) q r (1 - r)]
            dh_prev = dh * z + W_rz^T (dz_r, dz_z) + W_n^T dq
        The factors in brackets do not depend on dh: `local_derivatives` computes them for a chunk of steps at once.
        """
        _, steps, streams, hidden = cache.gates.shape
        dh, dh_from_q, dh_from_z = (work.array(name, streams, hidden) for name in ("dh", "dh_from_q", "dh_from_z"))
        dh[...] = 0 if dlast is None else dlast[0]
        multiply_rz = PackedMatrix(weights.matrix[: 2 * hidden], work).sum_into(dh, 2)
        multiply_n = PackedMatrix(weights.matrix[2 * hidden :], work, "blocks_n").into(dh_from_q)
        h_prevs, qs = cache.previous(0), cache.saved[0]
        dzs, dqs = cache.gates.swapaxes(0, 1), qs  # the gradients overwrite gate values and q
        for chunk in time_chunks(steps, streams * hidden, self.tuning):
            for_rz, for_n, for_q = local_derivatives(cache.gates[:, chunk], h_prevs[chunk], qs[chunk], work)
            for t, dh_t, dz, dq, factor_rz, factor_q in zip(
                reversed(range(steps)[chunk]),
                dhs[chunk][::-1],
                dzs[chunk][::-1],
                dqs[chunk][::-1],
                for_rz.swapaxes(0, 1)[::-1],
                for_q[::-1],
                strict=True,
            ):
                np.add(dh_t, dh, dh_t)
                np.multiply(dh_t, dz[1], dh_from_z)  # backward of z * h_prev
                np.multiply(dh_t, factor_rz, dz[:2])  # backward of h and the gates r and z
                np.multiply(dh_t, factor_q, dq)  # backward of h and n = tanh(z_n + r * q), to q
                multiply_rz(dz[:2])  # backward of W_r h_prev and W_z h_prev
                multiply_n(dq)  # backward of q = W_n h_prev + b_n
                np.add(dh, dh_from_q, dh)
                np.add(dh, dh_from_z, dh)
                if t in cache.resets:
                    dh *= cache.resets[t]
            np.multiply(dhs[chunk], for_n, cache.gates[2, chunk])  # backward of h and n, to z_n
        write_gradient(cache.gates[:2], h_prevs, grads.matrix[: 2 * hidden], work)
        write_gradient(dqs[None], h_prevs, grads.matrix[2 * hidden :], work)
        grads.bias[2 * hidden :] = sum_rows(rows(dqs))
        return cache.gates, (dh.copy(),)


def local_derivatives(gates: Array, h_prevs: Array, qs: Array, work: Workspace) -> tuple[Array, Array, Array]:
    """Return the factors in brackets of `GRU.backward` for n steps, in scratch memory.

    gates: (3, n, B, H).  h_prevs, qs: (n, B, H).
    Returns the factors of dz_r and dz_z, (2, n, B, H), of dz_n, (n, B, H), and of dq, (n, B, H).
    """
    for_rz = work.scratch("for_rz", 2, *h_prevs.shape)
    for_n, for_q = (work.scratch(name, *h_prevs.shape) for name in ("for_n", "for_q"))
    r, z, n = gates
    for_r, for_z = for_rz
    np.multiply(n, n, for_n)
    np.subtract(1, for_n, for_n)
    np.subtract(1, z, for_z)
    np.multiply(for_n, for_z, for_n)  # (1 - z) (1 - n^2)
    np.multiply(for_z, z, for_z)
    np.subtract(h_prevs, n, for_r)
    np.multiply(for_z, for_r, for_z)  # (h_prev - n) z (1 - z)
    np.multiply(for_n, r, for_q)  # (1 - z) (1 - n^2) r
    np.subtract(1, r, for_r)
    np.multiply(for_r, qs, for_r)
    np.multiply(for_r, for_q, for_r)  # (1 - z) (1 - n^2) q r (1 - r)
    return for_rz, for_n, for_q
