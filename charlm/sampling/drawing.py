"""From logits to ids: uniform numbers for each stream, and the inverse of the cumulative distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.config import SampleConfig
from charlm.errors import DivergedError
from charlm.sampling.filters import FILTERS

Uniforms = npt.NDArray[np.float64]

UNIFORMS_AT_ONCE = 64
"""Uniform numbers that a stream draws at a time. What is drawn does not depend on it."""

NOT_FINITE = "the model's outputs are not finite numbers, so nothing can be drawn from it; train it again"


def uniform_numbers(seed: int, stream: int) -> Iterator[Uniforms]:
    """Yield blocks of numbers in [0, 1) for ever. They depend on `seed` and `stream` alone."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream,))
    rng = np.random.Generator(np.random.PCG64(sequence))
    while True:
        yield rng.random(UNIFORMS_AT_ONCE)


def uniform_rows(seed: int, streams: Sequence[int]) -> Iterator[Uniforms]:
    """Yield a row (B,) for each step for ever: the next number of each of `streams`."""
    sources = [uniform_numbers(seed, stream) for stream in streams]
    while True:
        yield from np.stack([next(source) for source in sources], axis=1)


class Chooser:
    """Chooses ids by logits, under the settings of `config`.

    never: the id, or a slice of ids, that is not chosen, whatever its logit.
    Its methods raise DivergedError if a logit is nan or +inf.
    """

    def __init__(self, config: SampleConfig, never: int | slice) -> None:
        self._never = never
        self._is_greedy = config.temperature == 0
        self._filters: list[tuple[Any, Any]] = []
        for name, (apply, neutral) in FILTERS.items():
            value = getattr(config, name)
            if value != neutral and not self._is_greedy:
                self._filters.append((apply, value))

    def choose_one(self, logits: Array, uniform: float) -> int:
        """Return an id for one stream.  logits: (V,), left as they are.  uniform: in [0, 1)."""
        kept = self._filtered(logits)
        if self._is_greedy:
            return int(kept.argmax())
        kept -= kept.max()
        reached = np.add.accumulate(np.exp(kept, out=kept), dtype=np.float64)
        total = reached[-1]
        if not total > 0:  # nan
            raise DivergedError(NOT_FINITE)
        return int(reached.searchsorted(uniform * total, side="right"))

    def choose(self, logits: Array, uniforms: Uniforms) -> Ids:
        """Return an id for each stream, (B,).  logits: (V, B), left as they are.  uniforms: (B,), in [0, 1).

        The chosen id is the first whose cumulative weight is above uniform * total (inverse CDF), so that
        an entry at -inf is never chosen.
        """
        kept = self._filtered(logits)
        if self._is_greedy:
            greatest: Ids = kept.argmax(axis=0)
            return greatest
        kept -= kept.max(axis=0)
        reached = np.add.accumulate(np.exp(kept, out=kept), axis=0, dtype=np.float64)
        if not (reached[-1] > 0).all():  # nan
            raise DivergedError(NOT_FINITE)
        chosen: Ids = np.count_nonzero(reached <= uniforms * reached[-1], axis=0)
        return chosen

    def _filtered(self, logits: Array) -> Array:
        kept = logits.copy()
        kept[self._never] = -np.inf
        for apply, value in self._filters:
            kept = apply(kept, value)
        return kept


def log_probabilities(logits: Array, ids: Ids) -> npt.NDArray[np.float64]:
    """Return the log-probability of each stream's id under the plain softmax, (B,), in nats.

    logits: (V, B).  ids: (B,).
    """
    shifted = logits - logits.max(axis=0)
    result: Uniforms = shifted[ids, np.arange(ids.size)].astype(np.float64)
    result -= np.log(np.exp(shifted, out=shifted).sum(axis=0, dtype=np.float64))
    return result
