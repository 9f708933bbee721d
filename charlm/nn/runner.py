"""A network that is only read from: sampling and scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.nn.blas import small_product
from charlm.nn.cells.cell import Cell, State
from charlm.nn.factor import MOST_ROWS
from charlm.nn.functional import log_p, log_softmax, loss_and_slopes
from charlm.nn.layer_weights import ON_ONE_CORE, LayerWeights
from charlm.nn.layers import gathered
from charlm.nn.layout import Parameters
from charlm.nn.network import FIRST, Network, NetworkState
from charlm.nn.products import multiply_rows
from charlm.nn.workspace import Workspace, aligned, rows

VALUES_AT_ONCE = 1 << 21
"""Values of the widest array that a window of `Runner.score` may hold."""
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
        first = self._layers[0]
        self._rows = gathered(params[FIRST], first.bias, first.scale)  # one for each id, (V, G*H)
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

    def walk(self, state: NetworkState, *, on_all_cores: bool = False) -> Walk:
        """Return what reads on from a state, a character in each stream at a time.

        on_all_cores: whether a step of many streams may take every core; not where threads share them already.
        """
        return Walk(self, state, on_all_cores)

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
        keep = (inputs != self.network.start)[:, :, None]
        restarts = (~keep.all(axis=(1, 2))).tolist()
        last: NetworkState = []
        hs = np.empty(0, self.dtype)
        for layer, (weights, bias) in enumerate(zip(self._layers, self._biases, strict=True)):
            zs = self._work.scratch("zs", *inputs.shape, bias.size)
            if weights.projection is None:
                self._rows.take(inputs, axis=0, out=zs, mode="clip")
            else:
                weights.projection.fill(zs[None], hs)
                zs += bias
            moved = tuple(array.copy() for array in state[layer])
            advance = self.network.cell.stepper(weights.recurrence, moved)
            hs = self._work.array(f"hs{layer % 2}", *inputs.shape, self.network.config.hidden)
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

    runner: whose weights are used.  state: where to begin; `self.state` is a copy, which each character moves on.
    on_all_cores: as for `Runner.walk`.
    """

    def __init__(self, runner: Runner, state: NetworkState, on_all_cores: bool = False) -> None:
        self.state: NetworkState = [tuple(array.copy() for array in layer) for layer in state]
        weights = [layer.on_all_cores() for layer in runner._layers] if on_all_cores else runner._layers
        layers = zip(weights, runner._biases, self.state, strict=True)
        self._layers = [layer_mover(runner.network.cell, *layer) for layer in layers]
        self._start, self._rows = runner.network.start, runner._rows
        self._head_rows, self._head_bias = runner._head_rows, runner._head_bias[None]
        self._zs = aligned((len(state[0][0]), self._rows.shape[1]), runner.dtype)
        self._logits = aligned((len(state[0][0]), runner.vocabulary), runner.dtype)

    def move_to(self, state: NetworkState, places: Ids) -> None:
        """Go on from where the streams at `places` of a state are, (B,)."""
        for layer, others in zip(self.state, state, strict=True):
            for array, other in zip(layer, others, strict=True):
                other.take(places, axis=0, out=array, mode="clip")  # or else NumPy would fill an array of its own first

    def read(self, ids: Ids) -> Array:
        """Read one character in each stream.

        ids: (B,).  Returns the logits (B, V) of the next character; they are overwritten by those behind the next.
        """
        listed = ids.tolist()
        if self._start in listed:
            keep = (ids != self._start)[:, None]
            for array in (array for layer in self.state for array in layer):
                array *= keep
        if len(listed) == 1:
            xs = self._rows[listed[0] : listed[0] + 1]
        else:
            xs = self._rows.take(ids, axis=0, out=self._zs, mode="clip")
        for move_on in self._layers:
            xs = move_on(xs)
        xs.dot(self._head_rows, self._logits)
        return np.add(self._logits, self._head_bias, out=self._logits)


def layer_mover(cell: Cell, weights: LayerWeights, bias: Array, state: State) -> Callable[[Array], Array]:
    """Return a function that moves the state of a layer on, in place, and returns its h, (B, H).

    It is given what the layer below hands on, (B, H); in the first layer z, (B, G*H).  bias: scaled, (1, G*H).
    """
    advance, h = cell.stepper(weights.recurrence, state), state[0]
    if weights.projection is None:

        def move_on(z: Array) -> Array:
            advance(z)
            return h

        return move_on
    z = aligned((len(h), bias.size), h.dtype)
    project = weights.projection.into(z)

    def project_and_move_on(below: Array) -> Array:
        project(below)
        np.add(z, bias, out=z)
        advance(z)
        return h

    return project_and_move_on
