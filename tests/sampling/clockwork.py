"""A language model small enough to work out by hand, behind the interface of PreparedNetwork.

The next character depends on the character before it and on the steps since EOS, modulo CLOCK; so a state that is
lost, mixed up between columns or not reset at EOS changes its answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charlm.text.vocabulary import Vocabulary

CLOCK = 7
"""Steps until an answer may repeat: no size of a window or a batch in these tests, nor a multiple of one."""


class ClockworkRunner:
    """logits: (CLOCK, V, V), of the next id (axis 1) given the phase (axis 0) and the id before (axis 2)."""

    size = 1
    """Parameters, for those who ask how large the network is."""
    rows_at_once = 40

    def __init__(self, logits: np.ndarray, eos: int = 0) -> None:
        self.logits = logits
        self.dtype = logits.dtype
        self.eos = eos
        self.rows_read = 0  # inputs, padding included

    @classmethod
    def random(cls, vocabulary: Vocabulary, seed: int = 0, spread: float = 2.0) -> ClockworkRunner:
        size = len(vocabulary)
        return cls(np.random.default_rng(seed).normal(0, spread, (CLOCK, size, size)), vocabulary.eos)

    @classmethod
    def uniform(cls, vocabulary: Vocabulary) -> ClockworkRunner:
        return cls.random(vocabulary, spread=0)

    def zero_state(self, streams: int) -> list[tuple[np.ndarray, ...]]:
        return [(np.zeros((streams, 1), int),)]

    def select(self, state: Any, places: Any) -> Any:
        return [tuple(array[places] for array in layer) for layer in state]

    def step(self, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        self.rows_read += len(ids)
        phase = np.where(ids == self.eos, 0, state[0][0][:, 0])
        return self.logits[phase, :, ids].copy(), [(((phase + 1) % CLOCK)[:, None],)]

    def stepper(self, state: Any) -> ClockworkWalk:
        return ClockworkWalk(self, state)

    def predict(self, inputs: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        result = []
        for ids in inputs:
            logits, state = self.step(ids, state)
            result.append((logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).T)
        return np.array(result), state

    def score(self, inputs: np.ndarray, targets: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        log_probs, state = self.predict(inputs, state)
        return np.take_along_axis(log_probs, targets[:, None], axis=1)[:, 0], state


class ClockworkWalk:
    def __init__(self, runner: ClockworkRunner, state: Any) -> None:
        self.runner, self.state = runner, state

    def move_to(self, state: Any, places: np.ndarray) -> None:
        self.state = self.runner.select(state, places)

    def read(self, ids: np.ndarray) -> np.ndarray:
        logits, self.state = self.runner.step(ids, self.state)
        return logits

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        log_probs, self.state = self.runner.score(inputs, targets, self.state)
        return log_probs

    def on_all_cores(self) -> ClockworkWalk:
        return self

    def read_one(self, chosen: int) -> np.ndarray:
        return self.read(np.array([chosen]))


def log_prob(runner: ClockworkRunner, ids: list[int], before: int = 0) -> float:
    """The same, the long way: ln p(ids[before:] | EOS, ids[:before])."""
    total, last = 0.0, runner.eos
    for place, chosen in enumerate(ids):
        logits = runner.logits[place % CLOCK, :, last]
        if place >= before:
            total += float(logits[chosen] - np.log(np.exp(logits).sum()))
        last = chosen
    return total
