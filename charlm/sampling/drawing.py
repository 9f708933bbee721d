"""From logits to ids: uniform numbers for each stream, and the inverse of the cumulative distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.config import SampleConfig
from charlm.errors import DivergedError
from charlm.sampling.filters import FILTERS, LOWEST_TEMPERATURE

Uniforms = npt.NDArray[np.float64]

UNIFORMS_AT_ONCE = 64
"""Uniform numbers that a stream draws at a time. What is drawn does not depend on it."""

MODERATE = 600.0
"""Logits whose exp a float64 holds."""
LEAST = 1e-250
"""A sum of them that is exact."""

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


class TokenSampler:
    """Chooses ids by logits, under the settings of `config`.

    never: the id, or a slice of ids, that is not chosen, whatever its logit.
    Its methods raise DivergedError if a logit is nan or +inf.
    """

    def __init__(self, config: SampleConfig, never: int | slice) -> None:
        self._never = never if isinstance(never, slice) else slice(never, never + 1)
        self._each_never = range(self._never.start, self._never.stop)
        self._is_greedy = config.temperature == 0
        names = [name for name, filter_ in FILTERS.items() if getattr(config, name) != filter_.neutral]
        self._filters = [] if self._is_greedy else [(FILTERS[name].apply, getattr(config, name)) for name in names]
        is_plain = not self._is_greedy and set(names) <= {"temperature"}
        # what logits are multiplied by, where nothing else is done to them
        self._inverse_temperature = 1 / max(config.temperature, LOWEST_TEMPERATURE) if is_plain else 0.0

    def choose_one(self, logits: Array, uniform: float) -> int:
        """Return an id for one stream.  logits: (V,), left as they are.  uniform: in [0, 1)."""
        if self._inverse_temperature:
            top = logits.argmax()
            if self._inverse_temperature == 1 and abs(logits.item(top)) < MODERATE:
                weights: Uniforms = np.exp(logits, dtype=np.float64)
            else:
                shifted = logits - logits[top : top + 1]  # subtracting a number would take longer
                shifted *= self._inverse_temperature
                weights = np.exp(shifted, dtype=np.float64)
            for each in self._each_never:  # a slice would take longer
                weights[each] = 0
            reached: Uniforms = np.add.accumulate(weights)
            total = reached.item(-1)
            if total > 0:  # not where all that may be chosen underflows beside what may not
                return int(reached.searchsorted(uniform * total, "right"))
        kept = self._filtered(logits)
        if self._is_greedy:
            return int(kept.argmax())
        reached = cumulative(kept)
        if not reached[-1] > 0:  # nan
            raise DivergedError(NOT_FINITE)
        return int(reached.searchsorted(uniform * reached[-1], side="right"))

    def choose(self, logits: Array, uniforms: Uniforms) -> tuple[Ids, Uniforms]:
        """Return an id for each stream, (B,), and its log-probability under the plain softmax, (B,) in nats.

        logits: (B, V), left as they are.  uniforms: (B,), in [0, 1).
        The chosen id is the first whose cumulative weight is above uniform * total (inverse CDF), so that
        an entry at -inf is never chosen.
        """
        if not abs(logits.max()) < MODERATE:
            logits = logits - logits.max(axis=1, keepdims=True)
        weights: Uniforms = np.exp(logits, dtype=np.float64)
        totals: Uniforms = weights @ np.ones(weights.shape[1])
        if totals.min() < LEAST:  # rows that lie far apart
            return self.choose(logits - logits.max(axis=1, keepdims=True), uniforms)
        if self._is_greedy:
            ids: Ids = self._filtered(logits).argmax(axis=1)
        else:
            reached = self._reached(logits, weights)
            ids = (reached > uniforms[:, None] * reached[:, -1:]).argmax(axis=1)
        log_probs = -np.log(totals)
        log_probs += logits[np.arange(ids.size), ids]
        return ids, log_probs

    def _reached(self, logits: Array, weights: Uniforms) -> Uniforms:
        """Return the cumulative weights of what may be chosen, (B, V).

        weights: of the plain softmax, (B, V), not normalised; overwritten.
        """
        if not self._filters:
            weights[:, self._never] = 0
            reached = np.add.accumulate(weights, axis=1, out=weights)
            if reached[:, -1].min() > 0:  # not where all that may be chosen underflows beside what may not
                return reached
        reached = cumulative(self._filtered(logits))
        if not reached[:, -1].min() > 0:  # nan
            raise DivergedError(NOT_FINITE)
        return reached

    def _filtered(self, logits: Array) -> Array:
        kept = logits.copy()
        kept[..., self._never] = -np.inf
        for apply, value in self._filters:
            kept = apply(kept, value)
        return kept


def cumulative(logits: Array) -> Uniforms:
    """Return the cumulative weights of a softmax, not normalised, over the last axis.  logits: overwritten."""
    logits -= logits.max(axis=-1, keepdims=True)
    reached: Uniforms = np.add.accumulate(np.exp(logits, out=logits), axis=-1, dtype=np.float64)
    return reached
