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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.rnn import RNN

KEPT = 0.5
"""How much of a state is kept for a step, at first."""
CEILING = 1e6
"""Greatest value of a state; times the largest weight of a model file and the largest size still a finite float32."""


class ReluRNN(RNN):
    """h = min(max(0, z + W_hh h_prev), CEILING); its state is (h,)."""

    torch_options: ClassVar[Mapping[str, str]] = {"nonlinearity": "relu"}

    def initial_recurrence(self, rng: np.random.Generator, hidden: int) -> Array:
        """Return KEPT times the identity."""
        return KEPT * np.eye(hidden)

    def initial_input(self, rng: np.random.Generator, hidden: int, inputs: int, *, is_one_hot: bool) -> Array:
        """Draw W_ih: uniform in +-1 for one-hot inputs, in +-(1 - KEPT)/sqrt(inputs) for those of a layer."""
        bound = 1.0 if is_one_hot else (1 - KEPT) / np.sqrt(inputs)
        return rng.uniform(-bound, bound, (hidden, inputs))

    def activate(self, z: Array) -> None:
        """Replace z by its part within the bounds."""
        np.maximum(z, 0, out=z)
        np.minimum(z, CEILING, out=z)

    def slopes(self, hs: Array, out: Array) -> Array:
        """Fill and return `out` with 1 between the bounds, and 0 on them, as in PyTorch."""
        np.greater(hs, 0, out=out, casting="unsafe")
        out *= hs < CEILING
        return out
