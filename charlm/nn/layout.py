"""Names and shapes of a network's parameters: those of `torch.nn.LSTM` and `torch.nn.Linear`.

A network of both directions has two stacks, `rnn` and `reverse`; each is a `torch.nn.LSTM` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from charlm.arrays import Array
from charlm.config import NetworkConfig
from charlm.nn.cells import find_cell

Layout = Mapping[str, tuple[int, ...]]


STACK, REVERSE = "rnn", "reverse"
"""What the names of a stack's parameters begin with; the second reads from right to left."""


def parameter_layout(config: NetworkConfig, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every parameter, in the order in which they lie in memory.

    Raises ConfigError if there is no such cell.
    """
    hidden = config.hidden
    rows = find_cell(config.cell).gates * hidden
    stacks = (STACK, REVERSE) if config.bidirectional else (STACK,)
    layout: dict[str, tuple[int, ...]] = {}
    for stack in stacks:
        for layer in range(config.layers):
            layout[f"{stack}.weight_ih_l{layer}"] = (rows, hidden if layer else vocabulary)
            layout[f"{stack}.weight_hh_l{layer}"] = (rows, hidden)
            layout[f"{stack}.bias_ih_l{layer}"] = (rows,)
            layout[f"{stack}.bias_hh_l{layer}"] = (rows,)
    layout["head.weight"] = (vocabulary, hidden * len(stacks))
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

    def stack(self, name: str) -> Parameters:
        """Return the same memory with the stack `name` under the names of the only stack of a network."""
        view = Parameters({}, self.flat[:0])
        view._views = {f"{STACK}.{key[len(name) + 1 :]}": v for key, v in self.items() if key.startswith(f"{name}.")}
        return view

    def empty_like(self) -> Parameters:
        """Return parameters of the same layout, zero."""
        return Parameters({name: view.shape for name, view in self.items()}, np.zeros_like(self.flat))
