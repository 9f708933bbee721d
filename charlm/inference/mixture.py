"""Mixtures: several networks of one shape whose probabilities are averaged.

    p(c | context) = 1/K * sum over the members k of p_k(c | context)

A mixture of networks that differ by their seeds only is a deep ensemble. Its state is the list of the layer states of
all members, one member after another.

References
----------
Lakshminarayanan, Pritzel & Blundell 2017, Simple and scalable predictive uncertainty estimation using deep ensembles,
arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import BidirectionalModel, CausalStepper
from charlm.inference.mixture_stepper import MixtureStepper, StackedMembers, StackedStepper, join
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.base import NetworkState
from charlm.nn.functional import mix_log_probs
from charlm.nn.network import Network


class Mixture:
    """A mixture with the interface of `PreparedNetwork`.

    Parameters
    ----------
    members : sequence of PreparedNetwork
        K networks of one shape.
    """

    def __init__(self, members: Sequence[PreparedNetwork]) -> None:
        self.members = members
        self.dtype = members[0].dtype

    @cached_property
    def _stacked(self) -> StackedMembers:
        """The members as one network, for a single stream."""
        return StackedMembers([member.stack for member in self.members], [member.head for member in self.members])

    @property
    def network(self) -> Network:
        """The network of each member."""
        return self.members[0].network

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
        """B of a step that reads many streams fastest: that of a member, as they read one after another."""
        return self.members[0].streams_per_step

    def zero_state(self, streams: int) -> NetworkState:
        """Return the state of B = `streams` before any input."""
        return join(member.zero_state(streams) for member in self.members)

    def select(self, state: NetworkState, streams: Ids | slice) -> NetworkState:
        """Return the state of some streams, in the order of the indices."""
        return self.network.select(state, streams)

    def stepper(self, state: NetworkState) -> CausalStepper:
        """Return a stepper that reads one character at a time from a copy of `state`."""
        if len(state[0][0]) == 1:
            return StackedStepper(self._stacked, state)
        return MixtureStepper([member.stepper(own) for member, own in self._each(state)])

    def step(self, ids: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read one character per stream: see `PreparedNetwork.step`. The logits are log-probabilities."""
        stepper = self.stepper(state)
        return stepper.read(ids), stepper.state

    def advance(self, ids: Ids, state: NetworkState) -> NetworkState:
        """Read a window (T, B) without computing logits; return the state."""
        return join(member.advance(ids, own) for member, own in self._each(state))

    def predict(self, inputs: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window (T, B); return log p of each next character, (T, V, B) in nats, and the state."""
        return mix(member.predict(inputs, own) for member, own in self._each(state))

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Read a window; return the log-probability of each target, (T, B) in nats, and the state."""
        return mix(member.score(inputs, targets, own) for member, own in self._each(state))

    def _each(self, state: NetworkState) -> Iterator[tuple[PreparedNetwork, NetworkState]]:
        """Yield each member with its layers of a state."""
        layers = len(state) // len(self.members)
        return ((member, state[k * layers : (k + 1) * layers]) for k, member in enumerate(self.members))


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


def mix(results: Iterable[tuple[Array, NetworkState]]) -> tuple[Array, NetworkState]:
    """Return log-probabilities and state of a mixture from those of its members."""
    log_probs, states = zip(*results, strict=True)
    return mix_log_probs(np.stack(log_probs)), join(states)
