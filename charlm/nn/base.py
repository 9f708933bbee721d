"""The base class of all kinds of network: shapes, initial values and the interface of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import find_cell
from charlm.nn.cells.cell import State
from charlm.nn.layout import Parameters, parameter_layout, size_of, stack_names
from charlm.nn.window import Window

NetworkState: TypeAlias = list[State]
"""State of each layer, first layer first; empty for a network that carries no state."""
ONE_HOT = ("rnn.weight_ih_l0", "encoder.weight_ih_l0", "decoder.weight_ih_l0")
"""Weights whose inputs are one-hot unless the network is tied."""


class BaseNetwork(ABC):
    """A recurrent network that reads ids. It holds no parameters: each call takes them.

    Parameters
    ----------
    config : NetworkConfig
        Cell, hidden size, layers and dropout.
    vocabulary : int
        V, the number of ids that it reads.
    start : int, default 0
        EOS: an input of this id resets the state of its stream.

    Attributes
    ----------
    outputs : int
        Number of classes that it predicts: the labels, or the V tokens of a language model.
    """

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.outputs = config.outputs or vocabulary
        self.start = start
        self.cell = find_cell(config.cell)
        self.layout = parameter_layout(config, vocabulary)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return size_of(self.layout)

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Layers, arrays per layer and H of the state that one window passes to the next."""
        layers = 0 if self.config.bidirectional or self.config.encoder_decoder else self.config.layers
        return layers, self.cell.state_arrays, self.config.hidden

    def window_size(self, steps: int, streams: int) -> int:
        """Return the number of values that the arrays of a training window (T, B) hold, dropout included."""
        values = (self.cell.gates + 2) * self.config.layers + 2  # of a stack, for each hidden unit
        return len(stack_names(self.config)) * values * steps * streams * self.config.hidden

    def parameters(self, flat: Array) -> Parameters:
        """Return named views into the vector `flat`, (P,)."""
        return Parameters(self.layout, flat, tied=self.config.tied)

    def initial(self, rng: np.random.Generator, dtype: Any = np.float32) -> Parameters:
        """Draw initial parameters: the cell draws those of the layers; the head is uniform in +-1/sqrt(H)."""
        hidden = self.config.hidden
        bound = 1 / np.sqrt(hidden)
        params = self.parameters(np.zeros(self.size, dtype))
        for name, view in params.items():
            if "weight_hh" in name:
                view[...] = self.cell.initial_recurrence(rng, hidden)
            elif "weight_ih" in name:
                is_one_hot = name in ONE_HOT and not self.config.tied
                view[...] = self.cell.initial_input(rng, hidden, view.shape[1], is_one_hot=is_one_hot)
            elif "bias_ih" in name:
                view[...] = self.cell.initial_bias(hidden)
            elif "weight" in name:
                view[...] = rng.uniform(-bound, bound, view.shape)
        return params

    def zero_state(self, streams: int, dtype: Any = np.float32) -> NetworkState:
        """Return the state of B = `streams` before any input."""
        layers, arrays, hidden = self.state_shape
        return [tuple(np.zeros((arrays, streams, hidden), dtype)) for _ in range(layers)]

    @staticmethod
    def select(state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams: views for a slice, copies in the order of the indices otherwise."""
        if isinstance(streams, slice):
            return [tuple(array[streams] for array in layer) for layer in state]
        return [tuple(array.take(streams, axis=0) for array in layer) for layer in state]  # faster than an index

    @abstractmethod
    def loss_and_grads(
        self, params: Parameters, grads: Parameters, window: Window, state: NetworkState, work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState]:  # fmt: skip
        """Run truncated backpropagation through time over one window.

        Parameters
        ----------
        params : Parameters
        grads : Parameters
            Overwritten by d (window.scale * summed loss) / d params.
        window : Window
        state : NetworkState
            From the previous window. No gradient flows back into it, which is the truncation.
        work : Workspace
            Holds the buffers of the window.
        rng : np.random.Generator, optional
            Draws the dropout masks; without it nothing is dropped.

        Returns
        -------
        loss : float
            Sum of the weighted losses in nats, not scaled.
        state : NetworkState
            For the next window.

        References
        ----------
        Werbos 1990; truncation as in Williams & Peng 1990.
        """
