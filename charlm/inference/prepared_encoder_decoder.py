"""A network of encoder and decoder with its weights prepared for inference, and the mixture of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import CausalStepper
from charlm.inference.mixture_stepper import MixtureStepper, join
from charlm.inference.prepared_stack import PreparedHead, PreparedStack
from charlm.inference.stepper import Stepper
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.kernels.workspace import Workspaces, rows
from charlm.nn.base import NetworkState
from charlm.nn.encoder_decoder import EncoderDecoder, crop_sources, shift
from charlm.nn.functional import loss_and_derivatives
from charlm.nn.layout import Parameters


class PreparedEncoderDecoder:
    """An encoder and a decoder with their weights prepared once.

    Several threads may use one instance: each call borrows its own buffers.

    Parameters
    ----------
    network : EncoderDecoder
    params : Parameters
    tuning : InferenceTuning
    """

    def __init__(self, network: EncoderDecoder, params: Parameters, tuning: InferenceTuning = DEFAULT_TUNING) -> None:
        self.network = network
        self.dtype = params.flat.dtype
        self._tuning = tuning
        self._encoder = PreparedStack(network.encoder, params, tuning.nn)
        self._decoder = PreparedStack(network.decoder, params, tuning.nn)
        self._head = PreparedHead.prepare(params, tuning.nn)
        self._workspaces = Workspaces(self.dtype)

    def encode(self, sources: Ids) -> NetworkState:
        """Return the last state of the encoder after sources (T, B), in the form of a window; see `EncoderDecoder`."""
        state: NetworkState | None = None
        length = self._max_steps(sources.shape[1])
        for first in range(0, len(sources), length):
            with self._workspaces.borrow() as work:
                _, state = self._encoder.read(sources[first : first + length], state, work)
        assert state is not None
        return state

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return a decoder that starts from a state of the encoder, which it copies."""
        copy = [tuple(array.copy() for array in layer) for layer in state]
        return Stepper(self._decoder, self._head, copy, self._tuning)

    def measure(self, inputs: Ids, targets: Ids) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B), for inputs and targets (T, B).

        See `loss_and_derivatives`. They are 0 for the labels that follow the last END of the streams read together.
        """
        result = np.zeros((3, *targets.shape), self.dtype)
        size = max(1, self._max_steps(1) // len(inputs))
        for first in range(0, inputs.shape[1], size):
            part = slice(first, first + size)
            own = targets[:, part]
            steps = int(np.flatnonzero(own.any(axis=1)).max(initial=-1)) + 2  # the labels, and the END after them
            own = own[:steps]
            state = self.encode(crop_sources(inputs[:, part], self.network.start))
            with self._workspaces.borrow() as work:
                hs, _ = self._decoder.read(shift(own), state, work)
                terms = loss_and_derivatives(self._head.logits(rows(hs)), own.ravel())
            result[:, :steps, part] = terms.reshape(3, *own.shape)
        return result

    def _max_steps(self, streams: int) -> int:
        """Return the number of steps of B streams in which no array exceeds `max_window_values`."""
        width = max(self.network.cell.gates * self.network.config.hidden, self.network.outputs)
        return max(1, self._tuning.max_window_values // (width * streams))


class EncoderDecoderMixture:
    """A mixture with the interface of `PreparedEncoderDecoder`, but for `measure`: the probabilities are averaged.

    Parameters
    ----------
    members : sequence of PreparedEncoderDecoder
        Networks of one shape.
    """

    def __init__(self, members: Sequence[PreparedEncoderDecoder]) -> None:
        self._members = members
        self.dtype = members[0].dtype

    def encode(self, sources: Ids) -> NetworkState:
        """Return the states of the encoders, one member after another."""
        return join(member.encode(sources) for member in self._members)

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return the decoders of all members as one; its logits are log-probabilities."""
        depth = len(state) // len(self._members)
        states = (state[first : first + depth] for first in range(0, len(state), depth))
        return MixtureStepper([member.stepper(own) for member, own in zip(self._members, states, strict=True)])
