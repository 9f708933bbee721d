"""The plain recurrent cell with g = max(0, z), initialised to keep its state.

Source: Le, Jaitly & Hinton 2015, arXiv:1504.00941 (the IRNN). The recurrent matrix starts as a multiple of the
identity and the biases as zero, so that neither the state nor its gradient explodes at first.
The weights are those of `torch.nn.RNN(nonlinearity="relu")`.

    h = min(max(0, z + W_hh h_prev), CEILING)

Two choices differ from the paper. The matrix starts as half the identity: in running text a state passes from window
to window, and with the full identity, training diverged within 200 steps at every learning rate from 0.00003 to 0.016.
The input weights of characters start large, so that states differ from character to character. With small ones all
units grow in the same way, and a few steps of Adam make the matrix explode.
The ceiling is not in the paper either: it keeps the states of a badly trained cell finite. Usual
states stay far below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.rnn import RNN

KEPT = 0.5
"""Initial factor of the state from one step to the next."""
CEILING = 1e6
"""Maximum of a state. Times the largest weight and size of a model file it is still a finite float32."""


class ReluRNN(RNN):
    """h = min(max(0, z + W_hh h_prev), CEILING); its state is (h,)."""

    torch_options: ClassVar[Mapping[str, str]] = {"nonlinearity": "relu"}

    def initial_recurrence(self, rng: np.random.Generator, hidden: int) -> Array:
        """Return KEPT * identity."""
        return KEPT * np.eye(hidden)

    def initial_input(self, rng: np.random.Generator, hidden: int, inputs: int, *, is_one_hot: bool) -> Array:
        """Draw W_ih: uniform in +-1 for one-hot inputs, in +-(1 - KEPT)/sqrt(inputs) for hidden states."""
        bound = 1.0 if is_one_hot else (1 - KEPT) / np.sqrt(inputs)
        return rng.uniform(-bound, bound, (hidden, inputs))

    def activate(self, z: Array) -> None:
        """Clip z to 0 and CEILING."""
        np.maximum(z, 0, out=z)
        np.minimum(z, CEILING, out=z)

    def derivative(self, hs: Array, out: Array) -> Array:
        """Fill and return `out` with 1 between the bounds and 0 at the bounds, as in PyTorch."""
        np.greater(hs, 0, out=out, casting="unsafe")
        out *= hs < CEILING
        return out
