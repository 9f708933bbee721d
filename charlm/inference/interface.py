"""What sampling, scoring and infilling need of a prepared model: one network or a mixture of several."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from charlm.arrays import Array, Ids, Mask
from charlm.nn.base import NetworkState


class CausalStepper(Protocol):
    """Reads B streams one character at a time: see `Stepper`."""

    state: NetworkState
    """The current state; each character overwrites it."""

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state."""

    def read(self, ids: Ids) -> Array:
        """Read one character per stream, (B,); return the logits of the next, (B, V)."""

    def read_one(self, token: int) -> Array:
        """Do the same as `read([token])`, faster, for a single stream."""

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window and return log p(target | inputs so far), (T, B) in nats."""


class CausalModel(Protocol):
    """Predicts each character from those before it: see `PreparedNetwork`."""

    dtype: Any
    """The dtype of states and results."""

    @property
    def size(self) -> int:
        """Number of parameters, of all members of a mixture."""

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""

    @property
    def streams_per_step(self) -> int:
        """B of a step that reads many streams fastest."""

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of B = `streams` before any input."""

    def select(self, state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams, in the order of the indices."""

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return a stepper that reads one character at a time from a copy of `state`."""

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character per stream, (B,); return the logits of the next, (B, V), and the state."""

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window (T, B) without computing logits; return the state."""

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window (T, B); return log p of each next character, (T, V, B) in nats, and the state."""

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window; return the log-probability of each target, (T, B) in nats, and the state."""


class BidirectionalModel(Protocol):
    """Predicts each character from all others: see `PreparedBidirectionalNetwork`."""

    def predict(self, inputs: Ids, targets: Ids) -> Array:
        """Return the distribution of each of targets[:-1] given all others, (T-1, V, B) in nats."""

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all other characters), (T, B) in nats, 0 for the last target; and `state`."""


class Memory(NamedTuple):
    """What a decoder attends to: outputs of the encoder, (N, S, H), and which are of characters, (N, S)."""

    encoded: Array
    is_source: Mask


class Encoded(NamedTuple):
    """What an encoder makes of N sources: its last state, of B streams, and for each member of a mixture a memory.

    The memory of a source belongs to B / N successive streams.
    """

    state: NetworkState
    memories: list[Memory]

    def select(self, sources: Ids, streams: Ids) -> Encoded:
        """Return the memories of some sources, and the state of some streams."""
        memories = [Memory(encoded[sources], is_source[sources]) for encoded, is_source in self.memories]
        return Encoded([tuple(array[streams] for array in layer) for layer in self.state], memories)


class PairStepper(Protocol):
    """Reads one label per stream: see `AttendingStepper`."""

    state: NetworkState
    """The current state; each label overwrites it."""

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state, of the same source."""

    def read(self, ids: Ids) -> Array:
        """Read one label per stream, (B,); return the logits of the next, (B, L)."""


class PairModel(Protocol):
    """Predicts the target of a source: see `PreparedEncoderDecoder`."""

    dtype: Any
    """The dtype of states and results."""

    def encode(self, sources: Ids) -> Encoded:
        """Return what the encoder makes of sources (T, B)."""

    def stepper(self, encoded: Encoded) -> PairStepper:
        """Return a decoder that reads one label per stream, from a copy of the state of the encoder."""
