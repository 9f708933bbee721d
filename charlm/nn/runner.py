"""A network that is only read from: sampling and scoring."""

from __future__ import annotations

from typing import Any

import numpy as np

from charlm.arrays import Array, Ids
from charlm.nn.functional import log_softmax
from charlm.nn.layout import Parameters
from charlm.nn.network import Network, NetworkState
from charlm.nn.workspace import Workspace, columns

VALUES_AT_ONCE = 1 << 21
"""Values of the widest array that a window of `Runner.score` may hold."""


class Runner:
    """Runs a network forward, with its weights prepared once. Owns its buffers: one thread at a time."""

    def __init__(self, network: Network, params: Parameters) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._work = Workspace(self.dtype)
        self._layers = []
        for layer in range(network.config.layers):
            weights, bias, scale = network.recurrence(params, layer, training=False)
            weight_ih = params[f"rnn.weight_ih_l{layer}"]
            if layer == 0:  # a row for each id: W_ih @ one_hot(id) + b
                projection = np.ascontiguousarray(((weight_ih + bias) * scale).T)
            else:
                projection = weight_ih * scale
            self._layers.append((weights, projection, bias * scale))
        self._head = params["head.weight"], params["head.bias"][:, None]

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

        ids: (B,).  Returns the logits (V, B) of the next character, and the new state.
        """
        starts = ids == self.network.start
        if starts.any():
            keep = ~starts
            state = [tuple(array * keep for array in layer) for layer in state]
        cell = self.network.cell
        x: Any = ids
        last: NetworkState = []
        for layer, (weights, projection, bias) in enumerate(self._layers):
            if layer == 0:
                z = projection[x].T
            else:
                z = projection @ x
                z += bias
            layer_state = cell.step(weights, z, state[layer])
            x = layer_state[0]
            last.append(layer_state)
        weight, head_bias = self._head
        logits = weight @ x
        logits += head_bias
        return logits, last

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return the log-probabilities of the character behind each input, (T, V, B), and the new state."""
        steps, streams = inputs.shape
        tops, state = self._tops(inputs, state)
        logits = log_softmax(self._logits(tops))
        return np.ascontiguousarray(logits.reshape(-1, steps, streams).transpose(1, 0, 2)), state

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all inputs up to it), (T, B) in nats, and the new state."""
        steps, streams = inputs.shape
        rows = max(self.network.cell.gates * self.network.config.hidden, self.vocabulary)
        run = max(1, VALUES_AT_ONCE // (rows * streams))
        result = np.empty((steps, streams), self.dtype)
        for start in range(0, steps, run):
            tops, state = self._tops(inputs[start : start + run], state)
            logits = self._logits(tops)
            wanted = targets[start : start + run]
            logits -= logits.max(axis=0)
            at_target = logits[wanted.ravel(), np.arange(wanted.size)]
            total = np.exp(logits, out=logits).sum(axis=0)
            result[start : start + run] = (at_target - np.log(total)).reshape(wanted.shape)
        return result, state

    def _tops(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return the outputs of the last layer as columns (H, T*B), and the new state."""
        run = self.network.forward(self.params, inputs, state, self._work)
        top = run.outputs[-1]
        return columns(top, self._work.array("tops", top.shape[1], inputs.size)), run.state

    def _logits(self, tops: Array) -> Array:
        weight, bias = self._head
        logits: Array = weight @ tops
        logits += bias
        return logits
