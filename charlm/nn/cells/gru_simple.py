"""The simplified GRU of the course: an update gate only, and c<t> = a<t>.

Source: the GRU of Cho et al. 2014, arXiv:1406.1078, without its reset (relevance) gate. PyTorch has no such cell; the
weights are named and shaped as in its GRU, with the gates z n.
In the course's notation, n is the candidate c~, and the update gate is 1 - z, as in `gru.py`.

    z = sigmoid(z_z + W_z h_prev)
    n = tanh(z_n + W_n h_prev)
    h = (1 - z) * n + z * h_prev

Memory of a window: 3 T B H values per layer, and 3 more per step of a chunk (`time_chunks`) in the backward pass.
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


class SimpleGRU(Cell):
    """Gated recurrent unit without a reset gate; its state is (h,)."""

    gates = 2
    is_sigmoid_gate = (True, False)
    gate_names = ("update", "candidate")

    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equations of one step: see `Cell.make_step`."""
        u = work.array("gates", 2, streams, weights.matrix.shape[1])
        multiply, activate = weights.packed.into(u), gate_activation(weights.gate_scale(streams))

        def step(arrays: StepArrays, z_in: Array) -> None:
            (h_prev,), (gates, z, n), (h,), _ = arrays
            multiply(h_prev)  # u = W_hh h_prev
            np.add(z_in, u, gates)
            activate(gates)
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
            dz_z = dh * [(h_prev - n) z (1 - z)]    dz_n = dh * [(1 - z) (1 - n^2)]
            dh_prev = dh * z + W_hh^T dz
        The factors in brackets are computed for a chunk of steps at once.
        """
        _, steps, streams, hidden = cache.gates.shape
        dh, dh_from_z = (work.array(name, streams, hidden) for name in ("dh", "dh_from_z"))
        dh[...] = 0 if dlast is None else dlast[0]
        multiply = PackedMatrix(weights.matrix, work).sum_into(dh, 2)
        h_prevs = cache.previous(0)
        dzs = cache.gates.swapaxes(0, 1)
        for chunk in time_chunks(steps, streams * hidden, self.tuning):
            factors = local_derivatives(cache.gates[:, chunk], h_prevs[chunk], work)
            for t, dh_t, dz, factor in zip(
                reversed(range(steps)[chunk]),
                dhs[chunk][::-1],
                dzs[chunk][::-1],
                factors.swapaxes(0, 1)[::-1],
                strict=True,
            ):
                np.add(dh, dh_t, dh)
                np.multiply(dh, dz[0], dh_from_z)  # backward of z * h_prev
                np.multiply(dh, factor, dz)  # backward of h and the gates z and n
                multiply(dz)  # backward of W_hh h_prev
                np.add(dh, dh_from_z, dh)
                if t in cache.resets:
                    dh *= cache.resets[t]
        write_gradient(cache.gates, h_prevs, grads.matrix, work)
        return cache.gates, (dh.copy(),)


def local_derivatives(gates: Array, h_prevs: Array, work: Workspace) -> Array:
    """Return the factors in brackets of `SimpleGRU.backward` for n steps, (2, n, B, H)."""
    factors = work.scratch("factors", *gates.shape)
    one_minus_z = work.scratch("one_minus_z", *h_prevs.shape)
    z, n = gates
    for_z, for_n = factors
    np.subtract(1, z, one_minus_z)
    np.subtract(h_prevs, n, for_z)
    np.multiply(for_z, z, for_z)
    np.multiply(for_z, one_minus_z, for_z)  # (h_prev - n) z (1 - z)
    np.multiply(n, n, for_n)
    np.subtract(1, for_n, for_n)
    np.multiply(for_n, one_minus_z, for_n)  # (1 - z) (1 - n^2)
    return factors
