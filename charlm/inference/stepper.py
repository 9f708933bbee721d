"""Streams that are read on a character at a time, in arrays and views that are made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.tuning import TUNING
from charlm.kernels.workspace import aligned, rows
from charlm.nn.base import NetworkState
from charlm.nn.cells.cell import Cell, State
from charlm.nn.functional import gather_log_probs
from charlm.nn.layer_weights import LayerWeights
from charlm.nn.network import Network

LOGITS_AT_ONCE = 1 << 18
"""Values of the logits that a window of `Stepper.score` may hold: they stay in a core's cache."""
WORTH_REPEATING = 1 << 15
"""Values of all gates up to which a bias is repeated for each stream: more would crowd a core's cache."""


class StepWeights(NamedTuple):
    """The prepared weights of a network, as a stepper uses them.

    layers: of each layer.  biases: scaled, (G*H,) each.  input_table: z of the first layer for each id, (V, G*H).
    head_matrix: (H, V).  head_bias: (V,).
    joined: returns [W_ih W_hh]^T of an upper layer.  gather: fills z of the first layer, (G, B, H), for ids (B,).
    logits: returns the logits (N, V) for outputs of the last layer, (N, H).
    """

    network: Network
    dtype: Any
    layers: Sequence[LayerWeights]
    biases: Sequence[Array]
    input_table: Array
    head_matrix: Array
    head_bias: Array
    joined: Callable[[int], PackedMatrix]
    gather: Callable[[Ids, Array], Array]
    logits: Callable[[Array], Array]


class Stepper:
    """Read streams a character at a time, in arrays and views that are made once.

    weights: of the network.  state: where to begin; each character advances it in place.
    """

    def __init__(self, weights: StepWeights, state: NetworkState) -> None:
        streams, cell, layers = len(state[0][0]), weights.network.cell, weights.layers
        self.state = state
        self._zs = aligned((cell.gates, *state[0][0].shape), weights.dtype)
        joint = in_one_row(self.state) if streams == 1 else []
        self._first = cell.stepper(layers[0].recurrence, self.state[0])
        self._others = []
        for layer in range(1, len(layers)):
            mover = cell.mover(layers[layer].recurrence, self.state[layer]) if streams == 1 else None
            bias = weights.biases[layer]
            if mover is None:
                below = self.state[layer - 1][0]
                self._others.append(upper_layer_step(cell, layers[layer], bias, below, self.state[layer], self._zs))
            else:
                self._others.append(joint_layer_step(weights.joined(layer), bias, joint[layer - 1], *mover))
        self._weights, self._start, self._top = weights, weights.network.start, self.state[-1][0]
        self._rows = weights.input_table.reshape(
            -1, *self._zs[:, :1].shape
        )  # z of one stream for each id, (V, G, 1, H)
        self._head_matrix, self._head_bias = weights.head_matrix, weights.head_bias[None]
        self._logits = aligned((streams, weights.network.vocabulary), weights.dtype)

    def move_to(self, state: NetworkState, places: Ids) -> None:
        """Go on from where the streams at `places` of a state are, (B,)."""
        for layer, others in zip(self.state, state, strict=True):
            for array, other in zip(layer, others, strict=True):
                other.take(places, axis=0, out=array, mode="clip")  # or else NumPy would fill an array of its own first

    def read(self, ids: Ids) -> Array:
        """Read one character in each stream.

        ids: (B,).  Returns the logits (B, V) of the next character; they are overwritten by those behind the next.
        """
        if len(ids) == 1:
            return self.read_one(ids.item())
        self._move_on(ids)
        return self._read_off()

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window, (T, B): return log p(target | all inputs up to it), (T, B) in nats.

        Where streams are many, this is faster than `PreparedNetwork.score`, which takes a layer at a time.
        """
        result = np.empty(inputs.shape, self._logits.dtype)
        length = max(1, LOGITS_AT_ONCE // self._logits.size)
        for start in range(0, len(inputs), length):
            run = slice(start, start + length)
            hs = np.empty((len(inputs[run]), *self._top.shape), self._top.dtype)
            for h, ids in zip(hs, inputs[run], strict=True):
                self._move_on(ids)
                h[...] = self._top
            result[run] = gather_log_probs(self._weights.logits(rows(hs)), targets[run].ravel()).reshape(
                -1, inputs.shape[1]
            )
        return result

    def on_all_cores(self) -> Stepper:
        """Return what reads on from the same state, in turn with this, but by products that may take every core.

        The numbers are the same. Where streams are few it is this walk itself: one core is faster.
        """
        if len(self._top) < TUNING.min_multicore_rows:
            return self
        layers = [layer.on_all_cores() for layer in self._weights.layers]
        return Stepper(self._weights._replace(layers=layers), self.state)

    def read_one(self, chosen: int) -> Array:
        """Do as `read` does, for the id of a single stream."""
        if chosen == self._start:
            self._forget(0)
        self._move(self._rows[chosen])
        return self._read_off()

    def _move_on(self, ids: Ids) -> None:
        if self._start in ids.tolist():
            self._forget((ids != self._start)[:, None])
        self._move(self._weights.gather(ids, self._zs))

    def _forget(self, keep: Mask | int) -> None:
        for array in (array for layer in self.state for array in layer):
            array *= keep

    def _move(self, z: Array) -> None:
        self._first(z)
        for move in self._others:
            move()

    def _read_off(self) -> Array:
        self._top.dot(self._head_matrix, self._logits)
        return np.add(self._logits, self._head_bias, self._logits)


def upper_layer_step(
    cell: Cell, weights: LayerWeights, bias: Array, below: Array, state: State, z: Array
) -> Callable[[], None]:
    """Return a function that moves the state of an upper layer on, in place.

    bias: scaled, (1, G*H).  below: h of the layer below, (B, H), which has been moved on.  z: room, (G, B, H).
    """
    assert weights.projection is not None
    advance = cell.stepper(weights.recurrence, state)
    project = weights.projection.into(z)
    if z.size <= WORTH_REPEATING:
        bias = weights.recurrence.for_each("projected", bias, len(below))
    else:
        bias = bias.reshape(cell.gates, 1, -1)

    def move() -> None:
        project(below)
        np.add(z, bias, z)
        advance(z)

    return move


def joint_layer_step(
    factor: PackedMatrix, bias: Array, inputs: Array, total: Array, move: Callable[[], None]
) -> Callable[[], None]:
    """Return a function that does the same with one product.

    factor: see `LayerWeights.joined`.  inputs: [h_below h], (B, 2*H).  total, move: see `Cell.mover`.
    """
    multiply, bias = factor.into(total), bias.reshape(len(total), 1, -1)

    def multiply_and_move() -> None:
        multiply(inputs)
        np.add(total, bias, total)
        move()

    return multiply_and_move


def in_one_row(state: NetworkState) -> list[Array]:
    """Put the h of all layers side by side, for a state of one stream.

    state: its h become views of one row.  Returns [h_below h] for each of the upper layers, (1, 2*H).
    """
    row = np.concatenate([layer[0] for layer in state], axis=1)
    hidden = state[0][0].shape[1]
    starts = range(0, row.size, hidden)
    for layer, start in enumerate(starts):
        state[layer] = row[:, start : start + hidden], *state[layer][1:]
    return [row[:, start : start + 2 * hidden] for start in starts[:-1]]
