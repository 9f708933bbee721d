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
        """V, the number of ids that it reads."""
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
            Log-probabilities of targets[:-1], in nats. Those of a tagger are (T, L, B): the label of each of `inputs`.
        """
        steps, outputs = len(self.network.directions(inputs, targets)[0]), self.network.outputs
        result = np.empty((steps, outputs, inputs.shape[1]), self.dtype)
        for part in self._stream_chunks(inputs):
            logits = log_softmax(self._logits(inputs[:, part], targets[:, part]))
            result[:, :, part] = logits.reshape(steps, -1, outputs).swapaxes(1, 2)
        return result

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all other characters), (T, B) in nats, 0 for the last target; and `state`."""
        result = np.zeros(inputs.shape, self.dtype)
        for part in self._stream_chunks(inputs):
            logits = self._logits(inputs[:, part], targets[:, part])
            expected = targets[:-1, part]
            result[:-1, part] = gather_log_probs(logits, expected.ravel()).reshape(expected.shape)
        return result, state

    def measure(self, inputs: Ids, targets: Ids) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B): see `loss_and_derivatives`.

        They are 0 for the last target, which is not predicted; a tagger predicts all.
        """
        steps = len(self.network.directions(inputs, targets)[0])
        result = np.zeros((3, *inputs.shape), self.dtype)
        for part in self._stream_chunks(inputs):
            logits = self._logits(inputs[:, part], targets[:, part])
            expected = targets[:steps, part]
            terms = loss_and_derivatives(logits, expected.ravel())
            result[:, :steps, part] = terms.reshape(3, *expected.shape)
        return result

    def _stream_chunks(self, inputs: Ids) -> list[slice]:
        """Split the streams of a window (T, B) so that no array exceeds `max_bidirectional_values`."""
        steps, streams = inputs.shape
        width = max(self.network.cell.gates * self.network.config.hidden, self.network.outputs)
        count = max(1, self._tuning.max_bidirectional_values // (width * steps))
        return [slice(start, start + count) for start in range(0, streams, count)]

    def _logits(self, inputs: Ids, targets: Ids) -> Array:
        """Return the logits of targets[:-1], ((T-1)*B, V); of a tagger, those of all labels, (T*B, L)."""
        hidden = self.network.config.hidden
        forward, backward = self.network.directions(inputs, targets)
        with self._workspaces.borrow() as work:
            both = work.array("both", *forward.shape, 2 * hidden)
            before, _ = self._stacks[0].read(forward, None, work)
            both[..., :hidden] = before
            after, _ = self._stacks[1].read(backward, None, work)
            both[..., hidden:] = after[::-1]
            return self._head.logits(rows(both))
