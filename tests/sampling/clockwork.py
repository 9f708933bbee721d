"""A language model small enough to compute by hand, with the interface of PreparedNetwork.

The next character depends on the previous character and on the steps since EOS, modulo CLOCK. So a state that is lost,
assigned to another column, or not reset at EOS changes its outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charlm.text.vocabulary import Vocabulary

CLOCK = 7
"""Steps after which an output may repeat: no size of a window or a batch in these tests, nor a multiple of one."""


class ClockworkNetwork:
    """logits: (CLOCK, V, V), of the next id (axis 1) given the phase (axis 0) and the previous id (axis 2)."""

    size = 1
    """Number of parameters."""
    streams_per_step = 40

    def __init__(self, logits: np.ndarray, eos: int = 0) -> None:
        self.logits = logits
        self.dtype = logits.dtype
        self.eos = eos
        self.rows_read = 0  # inputs, including padding

    @classmethod
    def random(cls, vocabulary: Vocabulary, seed: int = 0, spread: float = 2.0) -> ClockworkNetwork:
        size = len(vocabulary)
        return cls(np.random.default_rng(seed).normal(0, spread, (CLOCK, size, size)), vocabulary.eos)

    @classmethod
    def uniform(cls, vocabulary: Vocabulary) -> ClockworkNetwork:
        return cls.random(vocabulary, spread=0)

    def zero_state(self, streams: int) -> list[tuple[np.ndarray, ...]]:
        return [(np.zeros((streams, 1), int),)]

    def select(self, state: Any, indices: Any) -> Any:
        return [tuple(array[indices] for array in layer) for layer in state]

    def step(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        self.rows_read += len(ids)
        phase = np.where(ids == self.eos, 0, state[0][0][:, 0])
        return self.logits[phase, :, ids].copy(), [(((phase + 1) % CLOCK)[:, None],)]

    def stepper(self, state: Any) -> ClockworkStepper:
        return ClockworkStepper(self, state)

    def advance(self, ids: np.ndarray, state: Any) -> Any:
        for row in ids:
            _, state = self.step(row, state)
        return state

    def predict(self, inputs: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        result = []
        for ids in inputs:
            logits, state = self.step(ids, state)
            result.append((logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).T)
        return np.array(result), state

    def score(self, inputs: np.ndarray, targets: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        log_probs, state = self.predict(inputs, state)
        return np.take_along_axis(log_probs, targets[:, None], axis=1)[:, 0], state


class ClockworkStepper:
    """The stepper of a ClockworkNetwork."""

    def __init__(self, network: ClockworkNetwork, state: Any) -> None:
        self.network, self.state = network, state

    def move_to(self, state: Any, indices: np.ndarray) -> None:
        self.state = self.network.select(state, indices)

    def read(self, ids: np.ndarray) -> np.ndarray:
        logits, self.state = self.network.step(ids, self.state)
        return logits

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        log_probs, self.state = self.network.score(inputs, targets, self.state)
        return log_probs

    def read_one(self, chosen: int) -> np.ndarray:
        return self.read(np.array([chosen]))


def log_prob(network: ClockworkNetwork, ids: list[int], before: int = 0) -> float:
    """Return ln p(ids[before:] | EOS, ids[:before]), computed step by step."""
    total, last = 0.0, network.eos
    for step, chosen in enumerate(ids):
        logits = network.logits[step % CLOCK, :, last]
        if step >= before:
            total += float(logits[chosen] - np.log(np.exp(logits).sum()))
        last = chosen
    return total
