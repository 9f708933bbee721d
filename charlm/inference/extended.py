"""A network that predicts over a larger vocabulary than its own, so that it can be mixed with other networks.

The probability of UNK is divided equally among UNK and the tokens that the network does not know. So the result is a
distribution, and every token that the network knows keeps its probability.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import CausalModel, CausalStepper
from charlm.nn.base import NetworkState


class ExtendedNetwork:
    """A network over V tokens with the interface of `PreparedNetwork`: an id is one of the larger vocabulary.

    Parameters
    ----------
    network : CausalModel
        Reads and predicts its own ids.
    own_ids : ids (V,)
        Its own id of each token; UNK for a token that it does not know.
    unk : int
        Its id of UNK, which is that of the larger vocabulary, too.
    """

    def __init__(self, network: CausalModel, own_ids: Ids, unk: int) -> None:
        self._network, self._own_ids = network, own_ids.astype(np.intp)
        is_unknown = own_ids == unk
        self._shift: Array = np.where(is_unknown, -np.log(np.count_nonzero(is_unknown)), 0).astype(network.dtype)
        self.dtype = network.dtype

    @property
    def size(self) -> int:
        """The number of parameters."""
        return self._network.size

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return len(self._own_ids)

    @property
    def streams_per_step(self) -> int:
        """B of a step that reads many streams fastest."""
        return self._network.streams_per_step

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of B = `streams` before any input."""
        return self._network.zero_state(streams)

    def select(self, state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams, in the order of the indices."""
        return self._network.select(state, streams)

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return a stepper that reads one character at a time from a copy of `state`."""
        return ExtendedStepper(self._network.stepper(state), self._own_ids, self._shift)

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character per stream: see `PreparedNetwork.step`."""
        stepper = self.stepper(state)
        return stepper.read(ids), stepper.state

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window (T, B) without computing logits; return the state."""
        return self._network.advance(self._own_ids[ids], state)

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window (T, B); return log p of each next character, (T, V, B) in nats, and the state."""
        log_probs, state = self._network.predict(self._own_ids[inputs], state)
        return log_probs[:, self._own_ids] + self._shift[:, None], state

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window; return the log-probability of each target, (T, B) in nats, and the state."""
        log_probs, state = self._network.score(self._own_ids[inputs], self._own_ids[targets], state)
        return log_probs + self._shift[targets], state


class ExtendedStepper:
    """Reads characters of the larger vocabulary: see `Stepper`.

    Parameters
    ----------
    stepper : CausalStepper
        Reads the network's own ids.
    own_ids : ids (V,)
        Own id of each token.
    shift : array (V,)
        What is added to the logit of each token.
    """

    def __init__(self, stepper: CausalStepper, own_ids: Ids, shift: Array) -> None:
        self._stepper, self._own_ids, self._shift = stepper, own_ids, shift
        self.state = stepper.state

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state."""
        self._stepper.move_to(state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one character per stream, (B,); return the logits of the next, (B, V)."""
        return self._extend(self._stepper.read(self._own_ids[ids]))

    def read_one(self, token: int) -> Array:
        """Do the same as `read([token])`, faster, for a single stream."""
        return self._extend(self._stepper.read_one(self._own_ids.item(token)))

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window and return log p(target | inputs so far), (T, B) in nats."""
        return self._stepper.score(self._own_ids[inputs], self._own_ids[targets]) + self._shift[targets]

    def _extend(self, logits: Array) -> Array:
        """Return the logits (B, V) of the larger vocabulary from those of the network."""
        extended: Array = logits.take(self._own_ids, axis=1)
        extended += self._shift
        return extended
