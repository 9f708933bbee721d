"""Mixtures: several networks whose probabilities are averaged.

    p(c | context) = sum over the members k of weight_k * p_k(c | context)        weight_k = 1/K by default

A mixture of networks that differ by their seeds only is a deep ensemble. Members of other shapes and vocabularies are
mixed by the same sum (`ExtendedNetwork` gives them one vocabulary). The state of a mixture is the list of the layer
states of all members, one member after another.

References
----------
Lakshminarayanan, Pritzel & Blundell 2017, Simple and scalable predictive uncertainty estimation using deep ensembles,
arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import BidirectionalModel, CausalModel, CausalStepper
from charlm.inference.mixture_stepper import MixtureStepper, StackedMembers, StackedStepper, join
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.functional import mix_log_probs


class Mixture:
    """A mixture with the interface of `PreparedNetwork`.

    Parameters
    ----------
    members : sequence of CausalModel
        K networks, or mixtures, over one vocabulary.
    log_weights : array (K,), optional
        Logarithms of weights that sum to 1; by default all weights are 1/K.
    """

    def __init__(self, members: Sequence[CausalModel], log_weights: Array | None = None) -> None:
        self.members, self._log_weights = members, log_weights
        self.dtype = members[0].dtype

    @cached_property
    def _stacked(self) -> StackedMembers | None:
        """The members as one network, for a single stream; None if they differ in their shapes or weights."""
        prepared = [member for member in self.members if isinstance(member, PreparedNetwork)]
        shapes = {(member.network.config, member.vocabulary) for member in prepared}
        if self._log_weights is not None or len(prepared) < len(self.members) or len(shapes) > 1:
            return None
        return StackedMembers([member.stack for member in prepared], [member.head for member in prepared])

    @cached_property
    def _bounds(self) -> list[int]:
        """The index of the first layer of each member in a state, and the number of all layers."""
        return list(accumulate((len(member.zero_state(1)) for member in self.members), initial=0))

    @property
    def size(self) -> int:
        """The number of parameters of all members."""
        return sum(member.size for member in self.members)

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return self.members[0].vocabulary

    @property
    def streams_per_step(self) -> int:
        """B of a step that reads many streams fastest: that of the largest member, as they read one after another."""
        return min(member.streams_per_step for member in self.members)

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of B = `streams` before any input."""
        return join(member.zero_state(streams) for member in self.members)

    def select(self, state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams, in the order of the indices."""
        return BaseNetwork.select(state, streams)

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return a stepper that reads one character at a time from a copy of `state`."""
        if len(state[0][0]) == 1 and self._stacked:
            return StackedStepper(self._stacked, state)
        return MixtureStepper([member.stepper(own) for member, own in self._each(state)], self._log_weights)

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character per stream: see `PreparedNetwork.step`. The logits are log-probabilities."""
        stepper = self.stepper(state)
        return stepper.read(ids), stepper.state

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window (T, B) without computing logits; return the state."""
        return join(member.advance(ids, own) for member, own in self._each(state))

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window (T, B); return log p of each next character, (T, V, B) in nats, and the state."""
        return mix((member.predict(inputs, own) for member, own in self._each(state)), self._log_weights)

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window; return the log-probability of each target, (T, B) in nats, and the state."""
        return mix((member.score(inputs, targets, own) for member, own in self._each(state)), self._log_weights)

    def _each(self, state: NetworkState) -> Iterator[tuple[CausalModel, NetworkState]]:
        """Yield each member with its layers of a state."""
        parts = (state[start:stop] for start, stop in zip(self._bounds[:-1], self._bounds[1:], strict=True))
        return zip(self.members, parts, strict=True)


class BidirectionalMixture:
    """A mixture with the interface of `PreparedBidirectionalNetwork`.

    Parameters
    ----------
    members : sequence of BidirectionalModel
        K networks of one shape, prepared for inference.
    """

    def __init__(self, members: Sequence[BidirectionalModel]) -> None:
        self.members = members

    def predict(self, inputs: Ids, targets: Ids) -> Array:
        """Return the distribution of each of targets[:-1] given all others, (T-1, V, B) in nats."""
        return mix_log_probs(np.stack([member.predict(inputs, targets) for member in self.members]))

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Return log p(target | all other characters), (T, B) in nats, 0 for the last target; and `state`."""
        return mix(member.score(inputs, targets, state) for member in self.members)


def mix(results: Iterable[tuple[Array, NetworkState]], log_weights: Array | None = None) -> tuple[Array, NetworkState]:
    """Return log-probabilities and state of a mixture from those of its members."""
    log_probs, states = zip(*results, strict=True)
    return mix_log_probs(np.stack(log_probs), log_weights), join(states)
