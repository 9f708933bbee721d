"""The plain recurrent cell, a<t> = g(Waa a<t-1> + Wax x<t> + b), with g = tanh.

Source: Elman 1990. The weights are those of `torch.nn.RNN`: Waa is weight_hh, Wax is weight_ih, a is h.

    h = g(z + W_hh h_prev)                                      z = W_ih x + b

Memory of a window: 2 T B H values per layer.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import Cell, CellCache, Recurrence, RecurrenceGrads, State, Step, StepArrays


class RNN(Cell):
    """Plain recurrent cell; its state is (h,)."""

    gates = 1
    is_sigmoid_gate = (False,)
    torch_name = "RNN"

    def activate(self, z: Array) -> None:
        """Replace z by g(z)."""
        np.tanh(z, z)

    def derivative(self, hs: Array, out: Array) -> Array:
        """Fill and return `out` with g'(z), given hs = g(z)."""
        np.multiply(hs, hs, out)
        return np.subtract(1, out, out)

    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equation of one step: see `Cell.make_step`."""
        u = work.array("u", streams, weights.matrix.shape[1])
        multiply = weights.packed.into(u)

        def step(arrays: StepArrays, z: Array) -> None:
            (h_prev,), _, (h,), _ = arrays
            multiply(h_prev)  # u = W_hh h_prev
            np.add(z[0], u, h)
            self.activate(h)

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

        Given dh of a step, dz = dh * g'(z) and dh_prev = W_hh^T dz.
        """
        _, steps, streams, hidden = cache.gates.shape
        dzs = self.derivative(cache.states[0, 1:], out=cache.gates[0])
        dh = work.array("dh", streams, hidden)
        dh[...] = 0 if dlast is None else dlast[0]
        multiply = PackedMatrix(weights.matrix, work).into(dh)
        for t in reversed(range(steps)):
            np.add(dh, dhs[t], dh)
            np.multiply(dh, dzs[t], dzs[t])  # backward of g
            multiply(dzs[t])  # backward of W_hh h_prev
            if t in cache.resets:
                dh *= cache.resets[t]
        write_gradient(cache.gates, cache.previous(0), grads.matrix, work)
        return cache.gates, (dh.copy(),)
