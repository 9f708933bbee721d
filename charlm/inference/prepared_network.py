"""A network with its weights prepared for inference: sampling and scoring."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.prepared_stack import PreparedHead, PreparedStack
from charlm.inference.stepper import Stepper
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.kernels.blas import max_small_product
from charlm.kernels.tuning import TUNING
from charlm.kernels.workspace import Workspaces, rows
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs, log_softmax, loss_and_derivatives
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


class PreparedNetwork:
    """A network that reads from left to right, with its weights prepared once.

    Several threads may use one instance: each call borrows its own buffers.

    Parameters
    ----------
    network : Network
    params : Parameters
    tuning : InferenceTuning
    """

    def __init__(self, network: Network, params: Parameters, tuning: InferenceTuning = DEFAULT_TUNING) -> None:
        self.network = network
        self.params = params
        self.dtype = params.flat.dtype
        self._tuning = tuning
        self.stack = PreparedStack(network.stack, params, tuning.nn)
        self.head = PreparedHead.prepare(params, tuning.nn)
        self._workspaces = Workspaces(self.dtype)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.network.size

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return self.network.vocabulary

    @property
    def streams_per_step(self) -> int:
        """B of a step that reads many streams fastest: most of its arrays stay in a core's cache."""
        tuning = self._tuning
        cached = tuning.cached_gate_values // (self.network.cell.gates * self.network.config.hidden)
        if max_small_product():
            return min(TUNING.max_block_rows, max(tuning.min_streams, cached))
        return min(tuning.max_packed_streams, max(tuning.min_packed_streams, 2 * cached))

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of B = `streams` before any input."""
        return self.network.zero_state(streams, self.dtype)

    def select(self, state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams, in the order of the indices."""
        return self.network.select(state, streams)

    def stepper(self, state: NetworkState) -> Stepper:
        """Return a stepper that reads one character at a time from a copy of `state`."""
        copy = [tuple(array.copy() for array in layer) for layer in state]
        return Stepper(self.stack, self.head, copy, self._tuning)

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character per stream.

        Parameters
        ----------
        ids : ids (B,)
        state : NetworkState
            Not changed.

        Returns
        -------
        logits : array (B, V)
            Of the next character.
        state : NetworkState
            After the character.
        """
        stepper = self.stepper(state)
        return stepper.read(ids), stepper.state

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window without computing logits.

        Parameters
        ----------
        ids : ids (T, B)
            T may be 0.
        state : NetworkState
            Not changed.

        Returns
        -------
        NetworkState
            After the window.
        """
        for chunk in self._time_chunks(ids):
            with self._workspaces.borrow() as work:
                _, state = self.stack.read(ids[chunk], state, work)
        return state

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window and return the distribution of the next character after each input.

        Parameters
        ----------
        inputs : ids (T, B)
        state : NetworkState
            Not changed.

        Returns
        -------
        log_probs : array (T, V, B)
            In nats.
        state : NetworkState
            After the window.
        """
        steps, streams = inputs.shape
        result = np.empty((steps, self.network.outputs, streams), self.dtype)
        for chunk, logits, after in self._read(inputs, state):
            result[chunk] = log_softmax(logits).reshape(-1, streams, self.network.outputs).swapaxes(1, 2)
            state = after
        return result, state

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window and return the log-probability of each target.

        Parameters
        ----------
        inputs, targets : ids (T, B)
        state : NetworkState
            Not changed.

        Returns
        -------
        log_probs : array (T, B)
            log p(target | all inputs up to it), in nats.
        state : NetworkState
            After the window.
        """
        result = np.empty(inputs.shape, self.dtype)
        for chunk, logits, after in self._read(inputs, state):
            result[chunk] = gather_log_probs(logits, targets[chunk].ravel()).reshape(-1, inputs.shape[1])
            state = after
        return result, state

    def measure(self, inputs: Ids, targets: Ids) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B), from a zero state; inputs, targets: (T, B).

        See `loss_and_derivatives`.
        """
        result = np.empty((3, *inputs.shape), self.dtype)
        for chunk, logits, _ in self._read(inputs, self.zero_state(inputs.shape[1])):
            terms = loss_and_derivatives(logits, targets[chunk].ravel())
            result[:, chunk] = terms.reshape(3, -1, inputs.shape[1])
        return result

    def _read(self, inputs: Ids, state: NetworkState) -> Iterator[tuple[slice, Array, NetworkState]]:
        """Read a window; yield its time chunks, the logits of each, (T*B, V), and the state after it."""
        for chunk in self._time_chunks(inputs):
            with self._workspaces.borrow() as work:
                hs, state = self.stack.read(inputs[chunk], state, work)
                logits = self.head.logits(rows(hs))
            yield chunk, logits, state

    def _time_chunks(self, inputs: Ids) -> list[slice]:
        """Split the steps of a window (T, B) so that no array exceeds `max_window_values`."""
        steps, streams = inputs.shape
        width = max(self.network.cell.gates * self.network.config.hidden, self.network.outputs)
        length = max(1, self._tuning.max_window_values // (width * streams))
        return [slice(start, start + length) for start in range(0, steps, length)]
