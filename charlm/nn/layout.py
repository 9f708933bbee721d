"""Names and shapes of the parameters: those of `torch.nn.LSTM` and `torch.nn.Linear`.

A network has the stack `rnn`; a bidirectional network has the stack `reverse` too, and a network for pairs of texts
has `encoder` and `decoder` instead. Each is the parameters of one `torch.nn.LSTM` (`GRU`, `RNN`). The head is one
`torch.nn.Linear`. The input of the first layer is one-hot: (V,), (outputs,) for a decoder; or if the network is tied
the row of `head.weight` that belongs to the token, (H,). If one of L labels is read with each token, it is the one-hot
vectors of both, (V + L,).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.config import NetworkConfig
from charlm.nn.cells import find_cell

FORWARD, REVERSE = "rnn", "reverse"
"""Prefixes of the parameter names of the stack that reads from left to right, and of the one from right to left."""
ENCODER, DECODER = "encoder", "decoder"
"""Prefixes of the parameter names of the stack that reads a source, and of the one that predicts its target."""


def stack_names(config: NetworkConfig) -> tuple[str, ...]:
    """Return the names of the stacks of a network."""
    if config.encoder_decoder:
        return ENCODER, DECODER
    return (FORWARD, REVERSE) if config.bidirectional else (FORWARD,)


def parameter_layout(config: NetworkConfig, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter by its name, in their order in memory.

    Raises
    ------
    ConfigError
        If there is no such cell.
    """
    hidden = config.hidden
    rows = find_cell(config.cell).gates * hidden
    outputs = config.outputs or vocabulary
    layout: dict[str, tuple[int, ...]] = {}
    for stack in stack_names(config):
        inputs = hidden if config.tied else outputs if stack == DECODER else vocabulary + config.conditions
        for layer in range(config.layers):
            layout[f"{stack}.weight_ih_l{layer}"] = (rows, hidden if layer else inputs)
            layout[f"{stack}.weight_hh_l{layer}"] = (rows, hidden)
            layout[f"{stack}.bias_ih_l{layer}"] = layout[f"{stack}.bias_hh_l{layer}"] = (rows,)
    layout["head.weight"] = (outputs, hidden * len(stack_names(config)))
    layout["head.bias"] = (outputs,)
    return layout


def size_of(layout: Mapping[str, tuple[int, ...]]) -> int:
    """Return P, the number of parameters."""
    return sum(prod(shape) for shape in layout.values())


class LayerParameters(NamedTuple):
    """Views of the parameters of one layer: (G*H, K), (G*H, H), (G*H,) and (G*H,)."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array


class Parameters:
    """One flat vector with named views into it; gradients have the same form.

    Parameters
    ----------
    layout : mapping of str to tuple
        Shape of each parameter by its name, in their order in memory.
    flat : array (P,)
        `parameters["head.bias"]` is a view: writing to it writes to `flat`.
    tied : bool
        Whether the first layer reads rows of `head.weight`.

    Raises
    ------
    ValueError
        If the layout needs another number of values.
    """

    def __init__(self, layout: Mapping[str, tuple[int, ...]], flat: Array, *, tied: bool = False) -> None:
        self.flat, self.tied = flat, tied
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in layout.items():
            self._views[name] = flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        if start != flat.size:
            raise ValueError(f"the layout has {start} parameters, the vector {flat.size}")

    def __reduce__(self) -> tuple[partial[Parameters], tuple[dict[str, tuple[int, ...]], Array]]:
        """Pickle and copy the vector alone; the views are made again, into the new vector."""
        return partial(type(self), tied=self.tied), (self._layout(), self.flat)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def items(self) -> Iterator[tuple[str, Array]]:
        """Yield each name with its view."""
        return iter(self._views.items())

    def layer(self, stack: str, layer: int) -> LayerParameters:
        """Return the views of one layer of the stack `stack`."""
        return LayerParameters(*(self[f"{stack}.{name}_l{layer}"] for name in LayerParameters._fields))

    def one_hot_weight(self, stack: str) -> Array:
        """Return W_ih of one-hot inputs, (G*H, V + L); of a tied network, the product with the embeddings."""
        weight = self.layer(stack, 0).weight_ih
        return weight @ self["head.weight"].T if self.tied else weight

    def copy(self) -> Parameters:
        """Return a copy."""
        return Parameters(self._layout(), self.flat.copy(), tied=self.tied)

    def empty_like(self) -> Parameters:
        """Return parameters of the same layout, all zero."""
        return Parameters(self._layout(), np.zeros_like(self.flat), tied=self.tied)

    def _layout(self) -> dict[str, tuple[int, ...]]:
        return {name: view.shape for name, view in self.items()}
