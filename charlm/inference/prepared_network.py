"""A network that is only read from: sampling and scoring."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.inference.stepper import Stepper, StepWeights
from charlm.kernels.blas import small_product
from charlm.kernels.matmul import multiply_rows
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.tuning import TUNING
from charlm.kernels.workspace import Workspace, Workspaces, rows
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs, log_softmax, loss_and_derivatives
from charlm.nn.layers import projection_table
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning

VALUES_AT_ONCE = 1 << 21
"""Values of the widest array that a window of `PreparedNetwork.score` may hold."""
CACHED_GATES = 3 << 15
"""B * G*H of a step that reads many streams,"""
FEWEST_ROWS = 32
"""and the bounds of its B,"""
PACKED_ROWS = 192, 384
"""or, where the BLAS packs the weights for each step, these bounds of a B twice as large."""


class PreparedNetwork:
    """Runs a network forward, with its weights prepared once.

    Several threads may use it at a time: each call works in buffers of its own.
    """

    def __init__(self, network: Network, params: Parameters, tuning: NnTuning = DEFAULT_TUNING) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._workspaces = Workspaces(self.dtype)
        self._layers = network.stack.prepare(params, tuning=tuning)
        self._joined: dict[int, PackedMatrix] = {}
        first = self._layers[0]
        table = projection_table(params["rnn.weight_ih_l0"], first.bias, first.recurrence.scale)
        self._rows = table  # one for each id, (V, G*H)
        self._gates = np.arange(network.cell.gates)[:, None]
        self._biases = [layer.bias for layer in self._layers]
        weight, self._head_bias = params["head.weight"], params["head.bias"]
        # as a product of one row is fastest, like the weights of a layer
        self._head_rows = np.ascontiguousarray(weight.T) if weight.size <= tuning.max_single_core_weights else weight.T

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.network.size

    @property
    def rows_at_once(self) -> int:
        """B of a step that reads many streams fastest: its arrays stay in a core's cache, or nearly so."""
        cached = CACHED_GATES // (self.network.cell.gates * self.network.config.hidden)
        if small_product():
            return min(TUNING.max_block_rows, max(FEWEST_ROWS, cached))
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

    def joined(self, layer: int) -> PackedMatrix:
        """Return the weights of an upper layer as `LayerWeights.joined` does; made when first asked for."""
        found = self._joined.get(layer)
        return self._joined.setdefault(layer, self._layers[layer].joined()) if found is None else found

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character in each stream.

        ids: (B,).  Returns the logits (B, V) of the next character, and the new state.
        """
        if self.network.start in ids.tolist():
            reset_mask = (ids != self.network.start)[:, None]
            state = [tuple(array * reset_mask for array in layer) for layer in state]
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

    def stepper(self, state: NetworkState) -> Stepper:
        """Return what reads on from a state, a character in each stream at a time."""
        weights = StepWeights(
            self.network, self.dtype, self._layers, self._biases, self._rows, self._head_rows, self._head_bias,
            self.joined, self.gather, self._logits,
        )  # fmt: skip
        return Stepper(weights, [tuple(array.copy() for array in layer) for layer in state])

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window without computing logits.

        Parameters
        ----------
        ids : (T, B) integers; T may be 0.
        state : the state before the window, for B streams; it is not changed.

        Returns
        -------
        NetworkState
            The state after the window.
        """
        for span in self._chunks(*ids.shape):
            with self._workspaces.borrow() as work:
                _, state = self._tops(ids[span], state, work)
        return state

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return the log-probabilities of the character behind each input, (T, V, B), and the new state."""
        steps, streams = inputs.shape
        with self._workspaces.borrow() as work:
            tops, state = self._tops(inputs, state, work)
            logits = self._logits(tops)
        return log_softmax(logits).reshape(steps, streams, -1).swapaxes(1, 2), state

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all inputs up to it), (T, B) in nats, and the new state."""
        result = np.empty(inputs.shape, self.dtype)
        for run, logits, last in self._runs(inputs, state):
            result[run] = gather_log_probs(logits, targets[run].ravel()).reshape(-1, inputs.shape[1])
            state = last
        return result, state

    def measure(self, inputs: Ids, targets: Ids, counts: Mask) -> Array:
        """Return what `loss_and_derivatives` does, for the targets that count, from a zero state."""
        runs = self._runs(inputs, self.zero_state(inputs.shape[1]))
        sums = [loss_and_derivatives(logits, targets[run].ravel(), counts[run].ravel()) for run, logits, _ in runs]
        result: Array = np.sum(sums, axis=0)
        return result

    def _runs(self, inputs: Ids, state: NetworkState) -> Iterator[tuple[slice, Array, NetworkState]]:
        """Read a window in time chunks: yield the steps of each, their logits (T*B, V), and the state after them."""
        for span in self._chunks(*inputs.shape):
            with self._workspaces.borrow() as work:
                tops, state = self._tops(inputs[span], state, work)
                logits = self._logits(tops)
            yield span, logits, state

    def _chunks(self, steps: int, streams: int) -> list[slice]:
        """Split the steps of a window so that no array exceeds VALUES_AT_ONCE."""
        width = max(self.network.cell.gates * self.network.config.hidden, self.vocabulary)
        length = max(1, VALUES_AT_ONCE // (width * streams))
        return [slice(start, start + length) for start in range(0, steps, length)]

    def _tops(self, inputs: Ids, state: NetworkState, work: Workspace) -> tuple[Array, NetworkState]:
        """Return the outputs of the last layer as rows (T*B, H), in `work`, and the new state.

        Unlike `Stack.forward` it keeps nothing to undo the window by: a layer is projected at once, and then walked.
        """
        (steps, streams), hidden, gates = inputs.shape, self.network.config.hidden, self.network.cell.gates
        reset_mask = (inputs != self.network.start)[:, :, None]
        resets = (~reset_mask.all(axis=(1, 2))).tolist()
        last: NetworkState = []
        hs = np.empty(0, self.dtype)
        for layer, (weights, bias) in enumerate(zip(self._layers, self._biases, strict=True)):
            if weights.projection is None:
                zs = self.gather(inputs, work.scratch("zs", steps, gates, streams, hidden))
            elif streams == 1:
                zs = work.scratch("zs", steps, gates, streams, hidden)
                weights.projection.into(zs.reshape(1, steps, streams, -1))(hs)
                zs += bias.reshape(gates, 1, hidden)
            else:
                apart = work.scratch("zs", gates, steps, streams, hidden)
                weights.projection.into(apart)(hs)
                apart += bias.reshape(gates, 1, 1, hidden)
                zs = apart.swapaxes(0, 1)
            moved = tuple(array.copy() for array in state[layer])
            advance = self.network.cell.stepper(weights.recurrence, moved)
            hs = work.array(f"hs{layer % 2}", steps, streams, hidden)
            for t, z in enumerate(zs):
                if resets[t]:
                    for array in moved:
                        array *= reset_mask[t]
                advance(z)
                hs[t] = moved[0]
            last.append(moved)
        return rows(hs), last

    def _logits(self, tops: Array) -> Array:
        logits = multiply_rows(tops, self._head_rows, np.empty((len(tops), self.vocabulary), self.dtype))
        logits += self._head_bias
        return logits
