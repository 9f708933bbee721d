"""The stepper of a decoder that attends to the outputs of its encoder."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import Memory
from charlm.inference.prepared_stack import PreparedHead, PreparedStack, make_step
from charlm.inference.stepper import move
from charlm.kernels.workspace import aligned
from charlm.nn.attention import attend
from charlm.nn.base import NetworkState


class AttendingStepper:
    """Read one label per stream, and predict the next one: a `CausalStepper` without the methods for single streams.

    Parameters
    ----------
    stack : PreparedStack
        The decoder.
    head : PreparedHead
        The output layer, of decoder and context.
    state : NetworkState
        The initial state of the B streams; each label overwrites it.
    memory : Memory
        Outputs of the encoder for N sources; each belongs to B / N successive streams.

    Attributes
    ----------
    state : NetworkState
        The current state.
    """

    def __init__(self, stack: PreparedStack, head: PreparedHead, state: NetworkState, memory: Memory) -> None:
        self.state = state
        self._stack, self._head, self._memory = stack, head, memory
        h = self._h = state[-1][0]
        self._step = make_step(stack.cell, stack.layers, state)
        self._z = aligned((stack.cell.gates, *h.shape), h.dtype)
        self._both = np.empty((len(h), 2 * h.shape[1]), h.dtype)

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state, of the same source."""
        move(self.state, state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one label per stream, (B,); return the logits of the next, (B, L)."""
        self._step(self._stack.project(ids, self._z))
        streams, hidden = self._h.shape
        encoded, is_source = self._memory
        contexts, _ = attend(encoded, self._h.reshape(len(encoded), -1, hidden), is_source)
        self._both[:, :hidden] = self._h
        self._both[:, hidden:] = contexts.reshape(streams, hidden)
        return self._head.logits(self._both)
