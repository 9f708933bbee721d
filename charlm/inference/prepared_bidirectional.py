"""A bidirectional network with its weights prepared for inference."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.prepared_stack import PreparedHead, PreparedStack
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.kernels.workspace import Workspaces, rows
from charlm.nn.base import NetworkState
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.functional import gather_log_probs, log_softmax, loss_and_derivatives
from charlm.nn.layout import Parameters


class PreparedBidirectionalNetwork:
    """A network that reads in both directions, with its weights prepared once.

    Several threads may use one instance: each call borrows its own buffers.

    Parameters
    ----------
    network : BidirectionalNetwork
    params : Parameters
    tuning : InferenceTuning
    """

    def __init__(
        self, network: BidirectionalNetwork, params: Parameters, tuning: InferenceTuning = DEFAULT_TUNING
    ) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._tuning = tuning
        self._stacks = [PreparedStack(stack, params, tuning.nn) for stack in network.stacks]
        self._head = PreparedHead.prepare(params, tuning.nn)
        self._workspaces = Workspaces(self.dtype)

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return self.network.vocabulary

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of a bidirectional network, which is empty."""
        return self.network.zero_state(streams, self.dtype)

    def predict(self, inputs: Ids, targets: Ids) -> Array:
        """Return the distribution of each character given all others.

        Parameters
        ----------
        inputs, targets : ids (T, B)
            targets[t] is the character that follows inputs[t].

        Returns
        -------
        array (T-1, V, B)
            Log-probabilities of targets[:-1], in nats.
        """
        steps, streams = inputs.shape
        result = np.empty((steps - 1, self.vocabulary, streams), self.dtype)
        for part in self._stream_chunks(inputs):
            logits = log_softmax(self._logits(inputs[:, part], targets[:, part]))
            result[:, :, part] = logits.reshape(steps - 1, -1, self.vocabulary).swapaxes(1, 2)
        return result

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all other characters), (T, B) in nats, 0 for the last target; and `state`."""
        result = np.zeros(inputs.shape, self.dtype)
        for part in self._stream_chunks(inputs):
            expected = targets[:-1, part]
            log_probs = gather_log_probs(self._logits(inputs[:, part], targets[:, part]), expected.ravel())
            result[:-1, part] = log_probs.reshape(expected.shape)
        return result, state

    def measure(self, inputs: Ids, targets: Ids) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B), 0 for the last: see `loss_and_derivatives`."""
        result = np.zeros((3, *inputs.shape), self.dtype)
        for part in self._stream_chunks(inputs):
            expected = targets[:-1, part]
            terms = loss_and_derivatives(self._logits(inputs[:, part], targets[:, part]), expected.ravel())
            result[:, :-1, part] = terms.reshape(3, *expected.shape)
        return result

    def _stream_chunks(self, inputs: Ids) -> list[slice]:
        """Split the streams of a window (T, B) so that no array exceeds `max_bidirectional_values`."""
        steps, streams = inputs.shape
        width = max(self.network.cell.gates * self.network.config.hidden, self.vocabulary)
        count = max(1, self._tuning.max_bidirectional_values // (width * steps))
        return [slice(start, start + count) for start in range(0, streams, count)]

    def _logits(self, inputs: Ids, targets: Ids) -> Array:
        """Return the logits of targets[:-1], ((T-1)*B, V)."""
        steps, streams, hidden = len(inputs) - 1, inputs.shape[1], self.network.config.hidden
        with self._workspaces.borrow() as work:
            both = work.array("both", steps, streams, 2 * hidden)
            before, _ = self._stacks[0].read(inputs[:-1], None, work)
            both[..., :hidden] = before
            after, _ = self._stacks[1].read(targets[:0:-1], None, work)
            both[..., hidden:] = after[::-1]
            return self._head.logits(rows(both))
