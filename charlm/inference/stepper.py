"""Inference one character at a time, in buffers that are allocated once."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.inference.prepared_stack import PreparedHead, PreparedStack, make_step
from charlm.inference.tuning import DEFAULT_TUNING, InferenceTuning
from charlm.kernels.workspace import aligned, rows
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs


class Stepper:
    """Read B streams one character at a time, and predict the next character of each.

    An input equal to the start id (EOS) resets the state of its stream before it is read.

    Parameters
    ----------
    stack : PreparedStack
        The recurrent layers.
    head : PreparedHead
        The output layer.
    state : NetworkState
        The initial state of the B streams; each character overwrites it.
    tuning : InferenceTuning
        Number of logits that `score` computes at once.

    Attributes
    ----------
    state : NetworkState
        The current state.
    """

    def __init__(
        self, stack: PreparedStack, head: PreparedHead, state: NetworkState, tuning: InferenceTuning = DEFAULT_TUNING
    ) -> None:
        h = state[-1][0]
        self.state = state
        self._stack, self._head, self._tuning = stack, head, tuning
        self._h = h  # output of the last layer, (B, H)
        self._step = make_step(stack.cell, stack.layers, state)
        self._z = aligned((stack.cell.gates, *h.shape), h.dtype)
        self._logits = aligned((len(h), head.bias.size), h.dtype)

    def move_to(self, state: NetworkState, indices: Ids) -> None:
        """Overwrite the state of stream b by row `indices[b]` of another state; `indices` is (B,)."""
        move(self.state, state, indices)

    def read(self, ids: Ids) -> Array:
        """Read one character per stream.

        Parameters
        ----------
        ids : array of int (B,)
            Id of the character of each stream.

        Returns
        -------
        array (B, V)
            Logits of the next character; the next call overwrites them.
        """
        self._advance(ids)
        return self._compute_logits()

    def read_one(self, token: int) -> Array:
        """Do the same as `read([token])`, faster, for a single stream (B = 1)."""
        if token == self._stack.start:
            self._reset(0)
        self._step(self._stack.table[token])
        return self._compute_logits()

    def score(self, inputs: Ids, targets: Ids) -> Array:
        """Read a window and return log p(target | inputs so far), (T, B) in nats, for inputs and targets (T, B).

        For many streams it is faster than `PreparedNetwork.score`, which reads a window layer by layer.
        """
        result = np.empty(inputs.shape, self._h.dtype)
        length = max(1, self._tuning.max_step_logits // self._logits.size)
        for start in range(0, len(inputs), length):
            chunk = slice(start, start + length)
            hs = np.empty((len(inputs[chunk]), *self._h.shape), self._h.dtype)
            for h, ids in zip(hs, inputs[chunk], strict=True):
                self._advance(ids)
                h[...] = self._h
            log_probs = gather_log_probs(self._head.logits(rows(hs)), targets[chunk].ravel())
            result[chunk] = log_probs.reshape(-1, inputs.shape[1])
        return result

    def _advance(self, ids: Ids) -> None:
        """Reset the streams whose id is EOS, and advance the state by one step."""
        if self._stack.start in ids.tolist():
            self._reset((ids != self._stack.start)[:, None])
        self._step(self._stack.project(ids, self._z))

    def _reset(self, mask: Mask | int) -> None:
        """Multiply the state of each stream by its mask, (B, 1)."""
        for layer in self.state:
            for array in layer:
                array *= mask

    def _compute_logits(self) -> Array:
        """Return the logits (B, V) of the current state, in the buffer of this stepper."""
        self._h.dot(self._head.matrix, self._logits)
        return np.add(self._logits, self._head.bias, self._logits)


def move(own: NetworkState, state: NetworkState, indices: Ids) -> None:
    """Overwrite row b of `own` by row `indices[b]` of another state."""
    for layer, others in zip(own, state, strict=True):
        for array, other in zip(layer, others, strict=True):
            other.take(indices, axis=0, out=array, mode="clip")  # other modes would fill a temporary array first
