"""Steppers of mixtures: they read one character at a time with all members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import CausalStepper
from charlm.inference.prepared_stack import PreparedHead, PreparedStack, make_step
from charlm.inference.stepper import move
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.nn.base import NetworkState
from charlm.nn.functional import log_softmax, mix_log_probs
from charlm.nn.layer_weights import LayerWeights

MAX_LOGIT_RANGE = 60.0
"""Range of logits within which all probabilities of a vocabulary of a million ids are normal float32."""


class MixtureStepper:
    """Read B streams with all members, one after another: see `Stepper`. The logits are log-probabilities.

    Parameters
    ----------
    steppers : sequence of CausalStepper
        One per member.
    log_weights : array (K,), optional
        Logarithms of the members' weights.

    Attributes
    ----------
    state : NetworkState
        The current state: the arrays of the members' steppers.
    """

    def __init__(self, steppers: Sequence[CausalStepper], log_weights: Array | None = None) -> None:
        self._steppers, self._log_weights = steppers, log_weights
        self.state = join(stepper.state for stepper in steppers)

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state; `indices` is (B,)."""
        move(self.state, state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one character per stream, (B,); return log p of the next, (B, V) in nats."""
        return self._mix([log_softmax(stepper.read(ids)) for stepper in self._steppers])

    def read_one(self, token: int) -> Array:
        """Do the same as `read([token])`, faster, for a single stream (B = 1)."""
        return self._mix([log_softmax(stepper.read_one(token)) for stepper in self._steppers])

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window and return log p(target | inputs so far), (T, B) in nats."""
        return self._mix([stepper.score(inputs, targets) for stepper in self._steppers])

    def _mix(self, log_probs: Sequence[Array]) -> Array:
        return mix_log_probs(np.stack(log_probs), self._log_weights)


class StackedMembers:
    """The members of a mixture as one network with K streams, each with its own weights.

    Parameters
    ----------
    stacks : sequence of PreparedStack
        The recurrent layers of each member.
    heads : sequence of PreparedHead
        The output layer of each member.
    tuning : InferenceTuning
    """

    def __init__(
        self, stacks: Sequence[PreparedStack], heads: Sequence[PreparedHead], tuning: InferenceTuning = DEFAULT_TUNING
    ) -> None:
        self.cell, self.start, self.heads = stacks[0].cell, stacks[0].start, heads
        self.layers = [LayerWeights.stack(weights) for weights in zip(*(stack.layers for stack in stacks), strict=True)]
        self.biases = np.concatenate([head.bias for head in heads])  # (K, V)
        self._tables = [stack.table for stack in stacks]
        if sum(table.size for table in self._tables) <= tuning.max_stacked_values:
            self._tables = [np.concatenate(self._tables, axis=2)]

    def project(self, token: int) -> Array:
        """Return z of the first layer of each member, (G, K, H)."""
        if len(self._tables) == 1:
            z: Array = self._tables[0][token]
            return z
        return np.concatenate([table[token] for table in self._tables], axis=1)


class StackedStepper:
    """Read one stream (B = 1) with all members at once: see `MixtureStepper`.

    Apart from the products, a step takes as many calls of NumPy as that of one network. For one stream and small
    layers, these calls take most of the time.

    Parameters
    ----------
    members : StackedMembers
        The networks.
    state : NetworkState
        The initial state of the mixture; copied.

    Attributes
    ----------
    state : NetworkState
        The current state: rows of the arrays (K, H) that hold the states of all members.
    """

    def __init__(self, members: StackedMembers, state: NetworkState) -> None:
        depth = len(members.layers)
        stacked = [zip(*state[layer::depth], strict=True) for layer in range(depth)]
        self._layers = [tuple(map(np.concatenate, arrays)) for arrays in stacked]
        count, h = len(members.heads), self._layers[-1][0]
        self.state = [tuple(array[k : k + 1] for array in layer) for k in range(count) for layer in self._layers]
        self._members = members
        self._step = make_step(members.cell, members.layers, self._layers)
        self._logits = np.empty_like(members.biases)  # (K, V)
        self._products = [(h[k], head.matrix, self._logits[k]) for k, head in enumerate(members.heads)]
        self._ones, self._sums = np.ones(self._logits.shape[1], h.dtype), np.empty(count, h.dtype)
        self._mixed = np.empty((1, self._logits.shape[1]), h.dtype)

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state by row `indices[0]` of another state."""
        move(self.state, state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one character, (1,); return log p of the next, (1, V) in nats; the next call overwrites it."""
        return self.read_one(int(ids[0]))

    def read_one(self, token: int) -> Array:
        """Do the same as `read([token])`, faster."""
        if token == self._members.start:
            for layer in self._layers:
                for array in layer:
                    array *= 0
        self._step(self._members.project(token))
        for h, matrix, logits in self._products:
            h.dot(matrix, logits)
        np.add(self._logits, self._members.biases, self._logits)
        return self._mix(self._logits)

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window and return log p(target | inputs so far), (T, 1) in nats."""
        pairs = zip(inputs[:, 0].tolist(), targets[:, 0].tolist(), strict=True)
        return np.array([[self.read_one(token).item(target)] for token, target in pairs], self._mixed.dtype)

    def _mix(self, logits: Array) -> Array:
        """Return log(mean over k of softmax(logits[k])), (1, V), for logits (K, V), which are overwritten."""
        top = logits.item(logits.argmax())
        if top - logits.item(logits.argmin()) > MAX_LOGIT_RANGE:
            return mix_log_probs(log_softmax(logits))[None]
        np.subtract(logits, top, logits)
        np.exp(logits, logits)
        logits.dot(self._ones, self._sums)
        np.divide(1 / len(logits), self._sums, self._sums)
        self._sums.dot(logits, self._mixed[0])
        return np.log(self._mixed, self._mixed)


def join(states: Iterable[NetworkState]) -> NetworkState:
    """Return the state of a mixture from those of its members."""
    return list(chain.from_iterable(states))
