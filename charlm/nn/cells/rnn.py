"""The plain recurrent cell, a<t> = g(Waa a<t-1> + Wax x<t> + b), with g = tanh.

Source: Elman 1990. The weights are those of `torch.nn.RNN`: Waa is weight_hh, Wax is weight_ih, a is h.
Memory of a window: 2 T B H values.
"""

from __future__ import annotations

from collections.abc import Callable

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
    reset_steps,
)


class RNN(Cell):
    """h = g(z + W_hh h_prev); its state is (h,)."""

    gates = 1
    is_sigmoid_gate = (False,)
    torch_name = "RNN"

    def activate(self, z: Array) -> None:
        """Replace z by g(z)."""
        np.tanh(z, out=z)

    def slopes(self, hs: Array, out: Array) -> Array:
        """Fill and return `out` with g'(z), from hs = g(z)."""
        np.multiply(hs, hs, out=out)
        return np.subtract(1, out, out=out)

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        h = weights.factor.times(state[0])
        h += z
        self.activate(h)
        return (h,)

    def mover(self, weights: Recurrence, state: State) -> tuple[Array, Callable[[], None]]:
        """As in `Cell.mover`."""
        (h,) = state
        z = np.empty((1, *h.shape), h.dtype)

        def move() -> None:
            self.activate(z)
            np.copyto(h, z[0])

        return z, move

    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[Array, State, Backward]:
        """A window, as in `Cell.forward`."""
        _, steps, streams, hidden = zs.shape
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        u = work.array("u", streams, hidden)
        hs[0] = state[0]
        resets = reset_steps(reset_mask, steps)
        multiply = weights.factor.into(u)
        for t, (z, h_prev, h) in enumerate(zip(zs[0], hs, hs[1:], strict=False)):
            if resets[t] and reset_mask is not None:
                h_prev = h_prev * reset_mask[t]
            multiply(h_prev)
            np.add(z, u, out=h)
            self.activate(h)
        last = (hs[steps].copy(),)

        def backward(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            dzs = self.slopes(hs[1:], out=zs[0])
            dh = work.array("dh", streams, hidden)
            dh[...] = 0 if dlast is None else dlast[0]
            multiply = PackedMatrix(weights.matrix, work).into(dh)
            for t in reversed(range(steps)):
                dz = dzs[t]
                np.add(dh, dhs[t], out=dh)
                np.multiply(dh, dz, out=dz)  # undoes g
                multiply(dz)  # undoes W_hh h
                if resets[t] and reset_mask is not None:
                    dh *= reset_mask[t]
            write_gradient(zs, apply_reset(hs[:-1], reset_mask), grads.matrix, work)
            return zs, (dh.copy(),)

        return hs[1:], last, backward
