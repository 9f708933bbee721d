"""The plain recurrent cell with g = max(0, z), which starts as one that remembers.

Source: Le, Jaitly & Hinton 2015, arXiv:1504.00941 (the IRNN): the recurrent matrix begins as the identity, or a part
of it, and the biases as zero, so that at first a state is kept, and neither it nor its gradient explodes.
Here it is half of the identity. In running text a state is carried from window to window, and what is kept for ever
adds up: with the whole of it no learning rate from 0.00003 to 0.016 came through the first two hundred steps on
Shakespeare's plays. The input weights of characters begin large, so that states differ from character to character;
with small ones all units grow alike, and a few steps of Adam make the matrix explode.
The weights are those of `torch.nn.RNN(nonlinearity="relu")`.

    h = min(max(0, z + W_hh h_prev), CEILING)

The ceiling is our own: the states of a badly trained cell grow without bound, and with it they stay finite numbers
in any text. In use no state comes near it.

Memory of a window: 2 T H B values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.cell import Cell, Recurrence, RecurrenceGrads, State, Undo, restart, restarting_steps, transposed
from charlm.nn.workspace import Workspace, columns, multiply, product, stacked, sum_columns

KEPT = 0.5
"""How much of a state is kept for a step, at first."""
CEILING = 1e6
"""Greatest value of a state; times the largest weight of a model file and the largest size still a finite float32."""


class ReluRNN(Cell):
    """h = min(max(0, z + W_hh h_prev), CEILING); its state is (h,)."""

    gates = 1
    halved = (False,)
    torch_name = "RNN"
    torch_options: ClassVar[Mapping[str, str]] = {"nonlinearity": "relu"}

    def initial_recurrence(self, rng: np.random.Generator, hidden: int) -> Array:
        """Return KEPT times the identity."""
        return KEPT * np.eye(hidden)

    def initial_input(self, rng: np.random.Generator, hidden: int, inputs: int, *, is_one_hot: bool) -> Array:
        """Draw W_ih: uniform in +-1 for one-hot inputs, in +-(1 - KEPT)/sqrt(inputs) for those of a layer."""
        bound = 1.0 if is_one_hot else (1 - KEPT) / np.sqrt(inputs)
        return rng.uniform(-bound, bound, (hidden, inputs))

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        z += product(weights.scaled, state[0])
        return (np.clip(z, 0, CEILING),)

    def forward(
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        steps, hidden, streams = zs.shape
        hs = work.array("hs", steps + 1, hidden, streams)  # hs[t] enters step t, hs[t + 1] leaves it
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        w = stacked(weights.scaled, streams)
        for t, (z, h_prev, h) in enumerate(zip(zs, hs, hs[1:], strict=False)):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(w, h_prev, h.reshape(len(w), -1, streams))
            np.add(z, h, out=h)
            np.maximum(h, 0, out=h)
            np.minimum(h, CEILING, out=h)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            matrix_t = stacked(transposed(weights.matrix, work), streams)
            dzs = np.greater(hs[1:], 0, out=zs, casting="unsafe")  # the derivative of max(0, z), 0 at 0 as in PyTorch
            dzs *= hs[1:] < CEILING
            dh = work.array("dh", hidden, streams)
            dh[...] = 0 if dlast is None else dlast[0]
            dh_stack = dh.reshape(len(matrix_t), -1, streams)
            for t in reversed(range(steps)):
                dz = dzs[t]
                np.add(dh, dhs[t], out=dh)
                np.multiply(dh, dz, out=dz)  # undoes the bounds
                multiply(matrix_t, dz, dh_stack)  # undoes W_hh h
                if restarts[t] and keep is not None:
                    dh *= keep[t]
            dz_columns = columns(dzs, work.scratch("wide", hidden, steps * streams))
            h_ins = columns(restart(hs[:-1], keep), work.scratch("columns", hidden, steps * streams))
            np.matmul(dz_columns, h_ins.T, out=grads.matrix)
            grads.bias[...] = sum_columns(dz_columns)
            return dz_columns, (dh.copy(),)

        return hs[1:], last, undo
