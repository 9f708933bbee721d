"""A network that is only read from: sampling and scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.nn.blas import small_product
from charlm.nn.cells.cell import Cell, State
from charlm.nn.factor import FEWEST_ON_ALL_CORES, MOST_ROWS, Factor
from charlm.nn.functional import log_p, log_softmax, loss_and_slopes
from charlm.nn.layer_weights import ON_ONE_CORE, LayerWeights
from charlm.nn.layers import gathered
from charlm.nn.layout import Parameters
from charlm.nn.network import FIRST, Network, NetworkState
from charlm.nn.products import multiply_rows
from charlm.nn.workspace import Workspace, aligned, rows

VALUES_AT_ONCE = 1 << 21
"""Values of the widest array that a window of `Runner.score` may hold."""
LOGITS_AT_ONCE = 1 << 18
"""Values of the logits that a window of `Walk.score` may hold: they stay in a core's cache."""
WORTH_REPEATING = 1 << 15
"""Values of all gates up to which a bias is repeated for each stream: more would crowd a core's cache."""
CACHED_GATES = 3 << 15
"""B * G*H of a step that reads many streams,"""
FEWEST_ROWS = 32
"""and the bounds of its B,"""
PACKED_ROWS = 192, 384
"""or, where the BLAS packs the weights for each step, these bounds of a B twice as large."""


class Runner:
    """Runs a network forward, with its weights prepared once.

    `score` and `predict` work in buffers of its own: one thread at a time. `step` may be called from several.
    """

    def __init__(self, network: Network, params: Parameters) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._work = Workspace(self.dtype)
        self._layers = [network.prepare(params, layer) for layer in range(network.config.layers)]
        self._joined: dict[int, Factor] = {}
        first = self._layers[0]
        self._rows = gathered(params[FIRST], first.bias, first.scale)  # one for each id, (V, G*H)
        self._gates = np.arange(network.cell.gates)[:, None]
        self._biases = [layer.bias * layer.scale for layer in self._layers]
        weight, self._head_bias = params["head.weight"], params["head.bias"]
        # as a product of one row is fastest, like the weights of a layer
        self._head_rows = np.ascontiguousarray(weight.T) if weight.size <= ON_ONE_CORE else weight.T

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.network.size

    @property
    def rows_at_once(self) -> int:
        """B of a step that reads many streams fastest: its arrays stay in a core's cache, or nearly so."""
        cached = CACHED_GATES // (self.network.cell.gates * self.network.config.hidden)
        if small_product():
            return min(MOST_ROWS, max(FEWEST_ROWS, cached))
        fewest, most = PACKED_ROWS
        return min(most, max(fewest, 2 * cached))

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.network.vocabulary

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state before any input, for B = `streams`."""
        return self.network.zero_state(streams, self.dtype)

    def select(self, state: NetworkState, places: Ids | slice) -> NetworkState:
        """Return the state of the streams at `places`, in that order."""
        return self.network.select(state, places)

    def joined(self, layer: int) -> Factor:
        """Return the weights of an upper layer as `LayerWeights.joined` does; made when first asked for."""
        found = self._joined.get(layer)
        return self._joined.setdefault(layer, self._layers[layer].joined()) if found is None else found

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character in each stream.

        ids: (B,).  Returns the logits (B, V) of the next character, and the new state.
        """
        if self.network.start in ids.tolist():
            keep = (ids != self.network.start)[:, None]
            state = [tuple(array * keep for array in layer) for layer in state]
        cell = self.network.cell
        last: NetworkState = []
        z = self._rows.take(ids, axis=0)
        for layer, (weights, bias) in enumerate(zip(self._layers, self._biases, strict=True)):
            if weights.projection is not None:
                z = weights.projection.times(last[-1][0])
                z += bias
            last.append(cell.step(weights.recurrence, z, state[layer]))
        logits: Array = last[-1][0].dot(self._head_rows)
        logits += self._head_bias
        return logits, last

    def gather(self, ids: Ids, out: Array) -> Array:
        """Fill and return `out` (..., G, B, H) with z of the first layer for ids (..., B)."""
        places = ids[..., None, :] * self.network.cell.gates + self._gates
        return self._rows.reshape(-1, out.shape[-1]).take(places, axis=0, out=out, mode="clip")

    def walk(self, state: NetworkState) -> Walk:
        """Return what reads on from a state, a character in each stream at a time."""
        return Walk(self, [tuple(array.copy() for array in layer) for layer in state], self._layers)

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return the log-probabilities of the character behind each input, (T, V, B), and the new state."""
        steps, streams = inputs.shape
        tops, state = self._tops(inputs, state)
        return log_softmax(self._logits(tops)).reshape(steps, streams, -1).swapaxes(1, 2), state

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all inputs up to it), (T, B) in nats, and the new state."""
        result = np.empty(inputs.shape, self.dtype)
        for run, logits, last in self._runs(inputs, state):
            result[run] = log_p(logits, targets[run].ravel()).reshape(-1, inputs.shape[1])
            state = last
        return result, state

    def measure(self, inputs: Ids, targets: Ids, counts: Mask) -> Array:
        """Return the loss of the targets that count, from a zero state, and its derivatives: see `loss_and_slopes`."""
        runs = self._runs(inputs, self.zero_state(inputs.shape[1]))
        sums = [loss_and_slopes(logits, targets[run].ravel(), counts[run].ravel()) for run, logits, _ in runs]
        result: Array = np.sum(sums, axis=0)
        return result

    def _runs(self, inputs: Ids, state: NetworkState) -> Iterator[tuple[slice, Array, NetworkState]]:
        """Read a window in runs of steps: yield which they are, their logits (T*B, V), and the state behind them."""
        steps, streams = inputs.shape
        rows = max(self.network.cell.gates * self.network.config.hidden, self.vocabulary)
        length = max(1, VALUES_AT_ONCE // (rows * streams))
        for start in range(0, steps, length):
            run = slice(start, start + length)
            tops, state = self._tops(inputs[run], state)
            yield run, self._logits(tops), state

    def _tops(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return the outputs of the last layer as rows (T*B, H), and the new state.

        Unlike `Network.forward` it keeps nothing to undo the window by: a layer is projected at once, and then walked.
        """
        (steps, streams), hidden, gates = inputs.shape, self.network.config.hidden, self.network.cell.gates
        keep = (inputs != self.network.start)[:, :, None]
        restarts = (~keep.all(axis=(1, 2))).tolist()
        last: NetworkState = []
        hs = np.empty(0, self.dtype)
        for layer, (weights, bias) in enumerate(zip(self._layers, self._biases, strict=True)):
            if weights.projection is None:
                zs = self.gather(inputs, self._work.scratch("zs", steps, gates, streams, hidden))
            elif streams == 1:
                zs = self._work.scratch("zs", steps, gates, streams, hidden)
                weights.projection.fill(zs.reshape(1, steps, streams, -1), hs)
                zs += bias.reshape(gates, 1, hidden)
            else:
                apart = self._work.scratch("zs", gates, steps, streams, hidden)
                weights.projection.fill(apart, hs)
                apart += bias.reshape(gates, 1, 1, hidden)
                zs = apart.swapaxes(0, 1)
            moved = tuple(array.copy() for array in state[layer])
            advance = self.network.cell.stepper(weights.recurrence, moved)
            hs = self._work.array(f"hs{layer % 2}", steps, streams, hidden)
            for t, z in enumerate(zs):
                if restarts[t]:
                    for array in moved:
                        array *= keep[t]
                advance(z)
                hs[t] = moved[0]
            last.append(moved)
        return rows(hs), last

    def _logits(self, tops: Array) -> Array:
        logits = multiply_rows(tops, self._head_rows, np.empty((len(tops), self.vocabulary), self.dtype))
        logits += self._head_bias
        return logits


class Walk:
    """Streams that are read a character at a time: as by `Runner.step`, but in arrays and views that are made once.

    state: where to begin; each character moves it on, in place.  layers: the weights.
    """

    def __init__(self, runner: Runner, state: NetworkState, layers: Sequence[LayerWeights]) -> None:
        streams, cell = len(state[0][0]), runner.network.cell
        self.state = state
        self._zs = aligned((cell.gates, *state[0][0].shape), runner.dtype)
        joint = in_one_row(self.state) if streams == 1 else []
        self._first = cell.stepper(layers[0].recurrence, self.state[0])
        self._others = []
        for layer in range(1, len(layers)):
            mover = cell.mover(layers[layer].recurrence, self.state[layer]) if streams == 1 else None
            if mover is None:
                below, bias = self.state[layer - 1][0], runner._biases[layer]
                self._others.append(upper_mover(cell, layers[layer], bias, below, self.state[layer], self._zs))
            else:
                self._others.append(joint_mover(runner.joined(layer), runner._biases[layer], joint[layer - 1], *mover))
        self._runner, self._start, self._top = runner, runner.network.start, self.state[-1][0]
        self._rows = runner._rows.reshape(-1, *self._zs[:, :1].shape)  # z of one stream for each id, (V, G, 1, H)
        self._head_rows, self._head_bias = runner._head_rows, runner._head_bias[None]
        self._logits = aligned((streams, runner.vocabulary), runner.dtype)

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

        Where streams are many, this is faster than `Runner.score`, which takes a layer at a time.
        """
        result = np.empty(inputs.shape, self._logits.dtype)
        length = max(1, LOGITS_AT_ONCE // self._logits.size)
        for start in range(0, len(inputs), length):
            run = slice(start, start + length)
            hs = np.empty((len(inputs[run]), *self._top.shape), self._top.dtype)
            for h, ids in zip(hs, inputs[run], strict=True):
                self._move_on(ids)
                h[...] = self._top
            result[run] = log_p(self._runner._logits(rows(hs)), targets[run].ravel()).reshape(-1, inputs.shape[1])
        return result

    def on_all_cores(self) -> Walk:
        """Return what reads on from the same state, in turn with this, but by products that may take every core.

        The numbers are the same. Where streams are few it is this walk itself: one core is faster.
        """
        if len(self._top) < FEWEST_ON_ALL_CORES:
            return self
        return Walk(self._runner, self.state, [layer.on_all_cores() for layer in self._runner._layers])

    def read_one(self, chosen: int) -> Array:
        """Do as `read` does, for the id of a single stream."""
        if chosen == self._start:
            self._forget(0)
        self._move(self._rows[chosen])
        return self._read_off()

    def _move_on(self, ids: Ids) -> None:
        if self._start in ids.tolist():
            self._forget((ids != self._start)[:, None])
        self._move(self._runner.gather(ids, self._zs))

    def _forget(self, keep: Mask | int) -> None:
        for array in (array for layer in self.state for array in layer):
            array *= keep

    def _move(self, z: Array) -> None:
        self._first(z)
        for move in self._others:
            move()

    def _read_off(self) -> Array:
        self._top.dot(self._head_rows, self._logits)
        return np.add(self._logits, self._head_bias, self._logits)


def upper_mover(
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


def joint_mover(
    factor: Factor, bias: Array, inputs: Array, total: Array, move: Callable[[], None]
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
