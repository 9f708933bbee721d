"""Names and shapes of a network's parameters: those of `torch.nn.LSTM` and `torch.nn.Linear`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells import find_cell

Layout = Mapping[str, tuple[int, ...]]


def parameter_layout(cell: str, vocabulary: int, hidden: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every parameter, in the order in which they lie in memory.

    Raises ConfigError if there is no such cell.
    """
    rows = find_cell(cell).gates * hidden
    layout: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        layout[f"rnn.weight_ih_l{layer}"] = (rows, hidden if layer else vocabulary)
        layout[f"rnn.weight_hh_l{layer}"] = (rows, hidden)
        layout[f"rnn.bias_ih_l{layer}"] = (rows,)
        layout[f"rnn.bias_hh_l{layer}"] = (rows,)
    layout["head.weight"] = (vocabulary, hidden)
    layout["head.bias"] = (vocabulary,)
    return layout


def size_of(layout: Layout) -> int:
    """Return P, the number of parameters."""
    return sum(prod(shape) for shape in layout.values())


class Parameters:
    """One flat vector with named views into it; gradients have the same form.

    flat: (P,).  `parameters["head.bias"]` is a view: writing to it writes to `flat`.
    """

    def __init__(self, layout: Layout, flat: Array) -> None:
        self.flat = flat
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in layout.items():
            self._views[name] = flat[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        if start != flat.size:
            raise ValueError(f"the layout has {start} parameters, the vector {flat.size}")

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def items(self) -> Iterator[tuple[str, Array]]:
        """Yield each name with its view."""
        return iter(self._views.items())

    def empty_like(self) -> Parameters:
        """Return parameters of the same layout, zero."""
        return Parameters({name: view.shape for name, view in self.items()}, np.zeros_like(self.flat))
