"""Draw ids from logits: uniform random numbers and inverse transform sampling.

p = softmax(filters(logits))
id = the first id whose cumulative probability exceeds a uniform random number in [0, 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.config import SampleConfig
from charlm.errors import DivergedError
from charlm.sampling.filters import active_filters
from charlm.sampling.filters.temperature import LOWEST_TEMPERATURE
from charlm.sampling.filters.text_filter import TextFilter
from charlm.text.vocabulary import Vocabulary

Float64s = npt.NDArray[np.float64]

MAX_EXPONENT = 600.0
"""Absolute value of the largest logit up to which exp neither overflows nor underflows in float64."""


def uniform_numbers(seed: int, stream: int, block: int) -> Iterator[Float64s]:
    """Yield arrays of `block` uniform random numbers in [0, 1) without end.

    The sequence of numbers depends only on `seed` and `stream`.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(stream,))
    rng = np.random.Generator(np.random.PCG64(sequence))
    while True:
        yield rng.random(block)


def uniform_rows(seed: int, streams: Sequence[int], block: int) -> Iterator[Float64s]:
    """Yield a row (B,) for each step without end: the next number of each of `streams`."""
    sources = [uniform_numbers(seed, stream, block) for stream in streams]
    while True:
        yield from np.stack([next(source) for source in sources], axis=1)


TextFilters = Mapping[str, TextFilter]
"""The active filters of one stream that depend on the text so far, by name."""
NO_FILTERS: TextFilters = {}


def text_filters(config: SampleConfig, vocabulary: Vocabulary, ids: Iterable[int]) -> dict[str, TextFilter]:
    """Return the active filters that depend on the text so far, after they have read `ids`."""
    filters = {name: each.make(config, vocabulary) for name, each in active_filters(config).items() if each.make}
    if filters:
        for token in ids:
            for filter_ in filters.values():
                filter_.read(token)
    return filters


class TokenSampler:
    """Draw ids from logits with the filters of a configuration.

    Parameters
    ----------
    config : sets the filters. Temperature 0 takes the most probable id.
    excluded : ids that are never drawn.
    """

    def __init__(self, config: SampleConfig, excluded: Sequence[int]) -> None:
        first, last = min(excluded), max(excluded)
        is_range = len(excluded) == last + 1 - first
        self._excluded = slice(first, last + 1) if is_range else np.array(excluded)  # a slice is faster
        self._is_greedy = config.is_greedy
        self._filters = [
            (name, filter_.apply, getattr(config, name)) for name, filter_ in active_filters(config).items()
        ]
        is_plain = not self._is_greedy and all(name == "temperature" for name, *_ in self._filters)
        self._scale = 1 / max(config.temperature, LOWEST_TEMPERATURE) if is_plain else 0.0  # without other filters

    def draw_one(self, logits: Array, uniform: float, text: TextFilters = NO_FILTERS) -> int:
        """Draw an id for one stream.

        Parameters
        ----------
        logits : (V,); not changed.
        uniform : random number in [0, 1).
        text : the filters of the stream that depend on its text.

        Returns
        -------
        int
            The id.

        Raises
        ------
        DivergedError
            If a logit is nan or +inf.
        """
        if self._scale:
            maximum = logits.item(logits.argmax())
            is_safe = self._scale == 1 and abs(maximum) < MAX_EXPONENT
            weights = np.exp(logits if is_safe else (logits - maximum) * self._scale, dtype=np.float64)
            weights[self._excluded] = 0
            cumulative: Float64s = np.add.accumulate(weights)
            if cumulative.item(-1) > 0:  # not if all ids underflow compared with an excluded one
                return int(cumulative.searchsorted(uniform * cumulative.item(-1), side="right"))
        filtered = self._filtered(logits, (text,))
        if self._is_greedy:
            return int(filtered.argmax())
        cumulative = _cumulative_weights(filtered)
        return int(cumulative.searchsorted(uniform * cumulative.item(-1), side="right"))

    def draw(
        self,
        logits: Array,
        uniforms: Float64s,
        texts: Sequence[TextFilters] = (),
        penalties: Array | None = None,
    ) -> tuple[Ids, Float64s]:
        """Draw an id for each stream of a batch.

        Parameters
        ----------
        logits : (B, V); not changed.
        uniforms : (B,) random numbers in [0, 1).
        texts : the filters of each stream that depend on its text.
        penalties : (B, V) added to the logits before the filters: -inf for ids that are not allowed.

        Returns
        -------
        ids : (B,)
        log_probs : (B,) log-probabilities of the ids in nats, under the softmax of the unfiltered logits.

        Raises
        ------
        DivergedError
            If a logit is nan or +inf.
        """
        shifted = logits - logits.max(axis=1, keepdims=True)
        weights = np.exp(shifted, dtype=np.float64)
        log_totals = np.log(weights.sum(axis=1))
        allowed = shifted
        if penalties is not None:
            logits = shifted + penalties
            allowed = logits - logits.max(axis=1, keepdims=True)
            np.exp(allowed, out=weights, dtype=np.float64)
        if self._is_greedy:
            ids: Ids = self._filtered(logits, texts).argmax(axis=1)
        else:
            cumulative = self._cumulative(allowed, weights, texts)
            ids = (cumulative > uniforms[:, None] * cumulative[:, -1:]).argmax(axis=1)
        return ids, shifted[np.arange(ids.size), ids] - log_totals

    def draw_masked(
        self, logits: Array, uniforms: Float64s, texts: Sequence[TextFilters], penalties: Array
    ) -> tuple[Ids, Float64s, Float64s]:
        """Draw an id for each stream of a batch: see `draw`. Also return `log_kept`.

        Without filters but the temperature, one exponential of the logits serves all three results.
        """
        if self._scale:
            shifted = logits - logits.max(axis=1, keepdims=True)
            weights = np.exp(shifted, dtype=np.float64)
            log_totals = np.log(weights.sum(axis=1))
            if self._scale != 1:
                np.exp(shifted * self._scale, out=weights, dtype=np.float64)
            weights[:, self._excluded] = 0
            totals = weights.sum(axis=1)
            weights *= penalties == 0
            cumulative: Float64s = np.add.accumulate(weights, axis=1, out=weights)
            kept = cumulative[:, -1]
            if kept.min() > 0:  # not if all allowed ids underflow compared with another one
                ids: Ids = (cumulative > (uniforms * kept)[:, None]).argmax(axis=1)
                return ids, shifted[np.arange(ids.size), ids] - log_totals, np.log(kept / totals)
        return *self.draw(logits, uniforms, texts, penalties), self.log_kept(logits, penalties)

    def log_kept(self, logits: Array, penalties: Array) -> Float64s:
        """Return the logarithm of the probability that a mask leaves, (B,).

        It is at the temperature, or with filters other than that at temperature 1 and without them.

        logits, penalties : (B, V) the logits, and what the mask adds to them.
        """
        drawable = logits.copy()
        drawable[:, self._excluded] = -np.inf
        drawable -= drawable.max(axis=1, keepdims=True)
        if self._scale:
            drawable *= self._scale
        weights = np.exp(drawable, dtype=np.float64)
        total, kept = weights.sum(axis=1), np.multiply(weights, penalties == 0).sum(axis=1)
        log_kept: Float64s = np.zeros(len(logits))
        if not kept.min() > 0:  # all allowed ids underflow compared with another one
            drawable += penalties
            log_kept = drawable.max(axis=1).astype(np.float64)
            kept = np.exp(drawable - log_kept[:, None], dtype=np.float64).sum(axis=1)
        log_kept += np.log(kept / total)
        return log_kept

    def _cumulative(self, logits: Array, weights: Float64s, texts: Sequence[TextFilters]) -> Float64s:
        """Return the cumulative weights (B, V) of the filtered softmax.

        logits: with a maximum of 0.  weights: exp(logits), overwritten. They need no filter other than the temperature
        to be used, unless all other ids underflow compared with an excluded id.
        """
        if self._scale:
            if self._scale != 1:
                np.exp(logits * self._scale, out=weights, dtype=np.float64)
            weights[:, self._excluded] = 0
            cumulative: Float64s = np.add.accumulate(weights, axis=1, out=weights)
            if cumulative[:, -1].min() > 0:
                return cumulative
        return _cumulative_weights(self._filtered(logits, texts))

    def _filtered(self, logits: Array, texts: Sequence[TextFilters]) -> Array:
        """Return a filtered copy of logits (V,) or (B, V): ids that must not be drawn are -inf."""
        filtered = logits.copy()
        filtered[..., self._excluded] = -np.inf
        for name, apply, value in self._filters:
            if apply:
                filtered = apply(filtered, value)
            else:
                for row, text in zip(filtered.reshape(-1, filtered.shape[-1]), texts, strict=True):
                    text[name].apply(row)
        return filtered


def _cumulative_weights(logits: Array) -> Float64s:
    """Return the cumulative sums of exp(logits - max) over the last axis; raise DivergedError if one is nan."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    cumulative: Float64s = np.add.accumulate(weights, axis=-1, out=weights)
    if not cumulative[..., -1].min() > 0:
        raise DivergedError("the model's outputs are not finite numbers, so no text can be drawn; train it again")
    return cumulative
