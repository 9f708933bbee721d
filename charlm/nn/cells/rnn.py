"""The plain recurrent cell, a<t> = g(Waa a<t-1> + Wax x<t> + b), with g = tanh.

Source: Elman 1990. The weights are those of `torch.nn.RNN`: Waa is weight_hh, Wax is weight_ih, a is h.
Memory of a window: 2 T B H values.
"""

from __future__ import annotations

from collections.abc import Callable

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
)
from charlm.nn.factor import Factor
from charlm.nn.products import write_gradient
from charlm.nn.workspace import Workspace


class RNN(Cell):
    """h = g(z + W_hh h_prev); its state is (h,)."""

    gates = 1
    halved = (False,)
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
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        _, steps, streams, hidden = zs.shape
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        u = work.array("u", streams, hidden)
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        multiply = weights.factor.into(u)
        for t, (z, h_prev, h) in enumerate(zip(zs[0], hs, hs[1:], strict=False)):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(h_prev)
            np.add(z, u, out=h)
            self.activate(h)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            dzs = self.slopes(hs[1:], out=zs[0])
            dh = work.array("dh", streams, hidden)
            dh[...] = 0 if dlast is None else dlast[0]
            multiply = Factor(weights.matrix, work).into(dh)
            for t in reversed(range(steps)):
                dz = dzs[t]
                np.add(dh, dhs[t], out=dh)
                np.multiply(dh, dz, out=dz)  # undoes g
                multiply(dz)  # undoes W_hh h
                if restarts[t] and keep is not None:
                    dh *= keep[t]
            write_gradient(zs, restart(hs[:-1], keep), grads.matrix, work)
            return zs, (dh.copy(),)

        return hs[1:], last, undo
