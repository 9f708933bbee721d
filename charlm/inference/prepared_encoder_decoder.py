"""A network of encoder and decoder with its weights prepared for inference, and the mixture of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.attending_stepper import AttendingStepper
from charlm.inference.interface import Encoded, Memory, PairStepper
from charlm.inference.mixture_stepper import join
from charlm.inference.prepared_stack import PreparedHead, PreparedStack
from charlm.inference.stepper import move
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.kernels.workspace import Workspaces, rows
from charlm.nn.attention import attend
from charlm.nn.base import NetworkState
from charlm.nn.encoder_decoder import EncoderDecoder, crop_sources, shift
from charlm.nn.functional import log_softmax, loss_and_derivatives, mix_log_probs
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

    def encode(self, sources: Ids) -> Encoded:
        """Return what the encoder makes of sources (T, B), in the form of a window; see `EncoderDecoder`."""
        state: NetworkState | None = None
        (steps, streams), hidden = sources.shape, self.network.config.hidden
        outputs = np.empty((streams, steps, hidden), self.dtype)
        length = self._max_steps(streams)
        for first in range(0, steps, length):
            with self._workspaces.borrow() as work:
                hs, state = self._encoder.read(sources[first : first + length], state, work)
                outputs[:, first : first + length] = hs.swapaxes(0, 1)
        assert state is not None
        return Encoded(state, [Memory(outputs, (sources != self.network.start).T)])

    def stepper(self, encoded: Encoded) -> PairStepper:
        """Return a decoder that starts from a state of the encoder, which it copies."""
        copy = [tuple(array.copy() for array in layer) for layer in encoded.state]
        return AttendingStepper(self._decoder, self._head, copy, encoded.memories[0])

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
            state, (memory,) = self.encode(crop_sources(inputs[:, part], self.network.start))
            with self._workspaces.borrow() as work:
                hs, _ = self._decoder.read(shift(own), state, work)
                contexts, _ = attend(memory.encoded, hs.swapaxes(0, 1), memory.is_source)
                both = np.concatenate([hs, contexts.swapaxes(0, 1)], axis=2)
            terms = loss_and_derivatives(self._head.logits(rows(both)), own.ravel())
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

    def encode(self, sources: Ids) -> Encoded:
        """Return what the encoders make of sources, one member after another."""
        states, memories = zip(*(member.encode(sources) for member in self._members), strict=True)
        return Encoded(join(states), [memory for (memory,) in memories])

    def stepper(self, encoded: Encoded) -> PairStepper:
        """Return the decoders of all members as one; its logits are log-probabilities."""
        depth = len(encoded.state) // len(self._members)
        return MixedSteppers(
            [
                member.stepper(Encoded(encoded.state[k * depth : (k + 1) * depth], [memory]))
                for k, (member, memory) in enumerate(zip(self._members, encoded.memories, strict=True))
            ]
        )


class MixedSteppers:
    """The steppers of the members of a mixture as one `PairStepper`.

    Parameters
    ----------
    steppers : sequence of PairStepper
        One per member.

    Attributes
    ----------
    state : NetworkState
        The current state: the arrays of the members' steppers.
    """

    def __init__(self, steppers: Sequence[PairStepper]) -> None:
        self._steppers = steppers
        self.state = join(stepper.state for stepper in steppers)

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state, of the same source."""
        move(self.state, state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one label per stream, (B,); return log p of the next, (B, L) in nats."""
        return mix_log_probs(np.stack([log_softmax(stepper.read(ids)) for stepper in self._steppers]))
