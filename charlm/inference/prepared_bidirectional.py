"""A bidirectional network with its weights prepared for reading."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.kernels.workspace import Workspaces, rows
from charlm.nn.base import NetworkState
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.functional import gather_log_probs, log_softmax, loss_and_derivatives
from charlm.nn.layout import Parameters

VALUES_AT_ONCE = 1 << 23
"""Values of the widest array that a window of `PreparedBidirectionalNetwork` may hold."""


class PreparedBidirectionalNetwork:
    """Reads with a network of both directions, its weights prepared once.

    Several threads may use it at a time: each call works in buffers of its own.
    """

    def __init__(self, network: BidirectionalNetwork, params: Parameters) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._workspaces = Workspaces(self.dtype)
        self._prepared = [stack.prepare(params) for stack in network.stacks]

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.network.vocabulary

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state before any input: nothing."""
        return self.network.zero_state(streams, self.dtype)

    def predict(self, inputs: Ids, targets: Ids) -> Array:
        """Return the log-probabilities of what may stand at each place but the last, given all others: (T-1, V, B).

        inputs, targets: (T, B), where targets[t] is the character behind inputs[t].
        """
        steps, streams = inputs.shape
        result = np.empty((steps - 1, self.vocabulary, streams), self.dtype)
        for part in self._parts(steps, streams):
            logits = log_softmax(self._logits(inputs[:, part], targets[:, part]))
            result[:, :, part] = logits.reshape(steps - 1, -1, self.vocabulary).swapaxes(1, 2)
        return result

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all other characters of the window), (T, B) in nats, 0 for the last; and no state."""
        steps, streams = inputs.shape
        result = np.zeros((steps, streams), self.dtype)
        for part in self._parts(steps, streams):
            wanted = targets[:-1, part]
            log_probs = gather_log_probs(self._logits(inputs[:, part], targets[:, part]), wanted.ravel())
            result[:-1, part] = log_probs.reshape(wanted.shape)
        return result, state

    def measure(self, inputs: Ids, targets: Ids, counts: Mask) -> Array:
        """Return the loss of the targets that count, and its derivatives: see `loss_and_derivatives`."""
        sums = np.zeros(3)
        for part in self._parts(*inputs.shape):
            logits = self._logits(inputs[:, part], targets[:, part])
            sums += loss_and_derivatives(logits, targets[:-1, part].ravel(), counts[:-1, part].ravel())
        return sums

    def _parts(self, steps: int, streams: int) -> list[slice]:
        """Cut the streams of a window into as many at once as memory is meant for."""
        rows = max(self.network.cell.gates * self.network.config.hidden, self.vocabulary)
        run = max(1, VALUES_AT_ONCE // (rows * steps))
        return [slice(start, start + run) for start in range(0, streams, run)]

    def _logits(self, inputs: Ids, targets: Ids) -> Array:
        with self._workspaces.borrow() as work:
            hs, _ = self.network.forward(self.params, inputs, targets, work, prepared=self._prepared)
            logits: Array = rows(hs) @ self.params["head.weight"].T
        logits += self.params["head.bias"]
        return logits
