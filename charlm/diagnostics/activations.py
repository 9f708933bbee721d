"""Activations of a network on a text: the state and the gates of every cell after every character."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array, Ids
from charlm.diagnostics.tuning import DEFAULT_TUNING, DiagnosticsTuning
from charlm.kernels.threads import blas_on_one_thread
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import CellCache
from charlm.nn.layout import Parameters
from charlm.nn.network import Network

STATE_NAMES = ("h", "c")
"""Names of the arrays of a state, in the order of `Cell.state_arrays`."""
SATURATED = 0.1
"""A sigmoid gate is left-saturated below this value, and right-saturated above 1 minus it."""


@dataclass(frozen=True, eq=False, repr=False)
class Activations:
    """The activations of L layers of H cells after each of the N characters of a text.

    Index t of an array is the value after the network has read character t. EOS is read before the first character.

    Attributes
    ----------
    tokens : tuple of str, N
        The characters, or the words of a model of words.
    states : mapping of str to ndarray, (L, N, H)
        "h", the hidden state, and for an LSTM "c", the cell state.
    gates : mapping of str to ndarray, (L, N, H)
        The values of each gate: "input", "forget", "candidate" and "output" of an LSTM, "reset", "update" and
        "candidate" of a GRU; empty for a cell without gates.
    sigmoid_gates : tuple of str
        The gates with values from 0 to 1; those of a candidate are from -1 to 1.

    References
    ----------
    Karpathy, Johnson & Li 2015, Visualizing and understanding recurrent networks, arXiv:1506.02078.
    """

    tokens: tuple[str, ...]
    states: Mapping[str, Array]
    gates: Mapping[str, Array]
    sigmoid_gates: tuple[str, ...]

    @property
    def cells(self) -> Array:
        """The value that represents each cell, (L, N, H): tanh(c) of an LSTM, h of other cells."""
        return np.tanh(self.states["c"]) if "c" in self.states else self.states["h"]

    def saturation(self, gate: str) -> Array:
        """Return the fraction of characters at which each cell's gate is left- and right-saturated, (2, L, H).

        A gate is left-saturated below 0.1 and right-saturated above 0.9. KeyError if the gate is not in
        `sigmoid_gates`.
        """
        if gate not in self.sigmoid_gates:
            raise KeyError(gate)
        values = self.gates[gate]
        return np.stack([(values < SATURATED).mean(axis=1), (values > 1 - SATURATED).mean(axis=1)])

    def __repr__(self) -> str:
        layers, characters, hidden = self.states["h"].shape
        arrays = ", ".join([*self.states, *self.gates])
        return f"<Activations of {layers} x {hidden} cells after {characters:,} tokens: {arrays}>"


def read_activations(
    network: Network, params: Parameters, ids: Ids, tokens: tuple[str, ...], tuning: DiagnosticsTuning = DEFAULT_TUNING
) -> Activations:
    """Return the activations of a network on a text.

    Parameters
    ----------
    network, params : Network, Parameters
        The model.
    ids : ndarray of int, (N + 1,)
        EOS and the text.
    tokens : tuple of str
        The N tokens of the text.
    tuning : DiagnosticsTuning
        Length of the chunks.

    Notes
    -----
    The memory is (S + G) L N H values for S arrays of a state and G gates.
    """
    config, cell = network.config, network.cell
    shape, dtype = (config.layers, len(ids), config.hidden), params.flat.dtype
    states = {name: np.empty(shape, dtype) for name in STATE_NAMES[: cell.state_arrays]}
    gates = {name: np.empty(shape, dtype) for name in cell.gate_names}
    for chunk, caches in read_chunks(network, params, ids, tuning):
        for layer, cache in enumerate(caches):
            for values, state in zip(states.values(), cache.states, strict=True):
                values[layer, chunk] = state[1:, 0]
            for values, gate in zip(gates.values(), cache.gates, strict=False):
                values[layer, chunk] = gate[:, 0]
    sigmoid_gates = tuple(name for name, is_sigmoid in zip(gates, cell.is_sigmoid_gate, strict=False) if is_sigmoid)
    return Activations(
        tokens,
        {name: values[:, 1:] for name, values in states.items()},  # without the EOS before the text
        {name: values[:, 1:] for name, values in gates.items()},
        sigmoid_gates,
    )


def read_cells(network: Network, params: Parameters, ids: Ids, tuning: DiagnosticsTuning = DEFAULT_TUNING) -> Array:
    """Return `Activations.cells` alone, (L, N, H), which takes less memory; parameters as in `read_activations`."""
    values = np.empty((network.config.layers, len(ids), network.config.hidden), params.flat.dtype)
    has_c = network.cell.state_arrays > 1
    for chunk, caches in read_chunks(network, params, ids, tuning):
        for layer, cache in enumerate(caches):
            values[layer, chunk] = np.tanh(cache.states[1, 1:, 0]) if has_c else cache.hs[:, 0]
    return values[:, 1:]


def read_chunks(
    network: Network, params: Parameters, ids: Ids, tuning: DiagnosticsTuning
) -> Iterator[tuple[slice, list[CellCache]]]:
    """Read ids (n,) from a zero state; yield each chunk with the values of each layer, valid until the next chunk."""
    work, prepared = Workspace(params.flat.dtype), network.stack.prepare(params)
    length = max(1, tuning.max_window_values // network.window_size(1, 1))
    state = network.zero_state(1, params.flat.dtype)
    for start in range(0, len(ids), length):
        chunk = slice(start, start + length)
        with blas_on_one_thread:  # the products of one stream are too small for threads of the BLAS
            cache = network.stack.forward(params, ids[chunk, None], state, work, prepared=prepared)
        state = cache.state
        yield chunk, cache.cells
