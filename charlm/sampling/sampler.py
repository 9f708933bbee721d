"""Sampling: texts drawn from a network, one character at a time, the state carried.

    logits = walk.read(id)
    id = inverse CDF of softmax(filters(logits)) at a uniform number

Every text begins with EOS, then the prompt. UNK is never drawn; EOS ends a text. No document of a corpus is empty, so
EOS never follows EOS in training, and is never drawn as the first token of a text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids
from charlm.config import SampleConfig, check, is_count
from charlm.kernels.blas import small_product
from charlm.kernels.threads import share_out
from charlm.sampling.drawing import TokenSampler, Uniforms, uniform_numbers, uniform_rows
from charlm.sampling.reader import Reader
from charlm.sampling.stopping import StopString

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.text.vocabulary import Vocabulary

STREAMS_AT_ONCE = 256
"""Texts that are drawn at a time."""
WORTH_A_THREAD = 25_000_000
"""Multiplications in a step of a batch from which on a thread of its own is worth it."""
FEWEST_TEXTS = 64
"""Texts of a thread at least where the BLAS packs the weights in each: fewer are drawn faster by one, on all cores."""


@dataclass(frozen=True)
class Sample:
    """A text that was drawn.

    text: what follows the prompt.
    log_prob: ln p(text | prompt) in nats, with EOS if that was drawn: what the model itself gives to it, at
    temperature 1, whatever filters it was drawn through. Scoring the text gives the same.
    has_ended: whether EOS was drawn; if not, the text stopped at the length or the stop string.
    """

    text: str
    log_prob: float
    has_ended: bool


class _Start(NamedTuple):
    """Where drawing begins: the last id that was read, and the state before it."""

    last: int
    state: Any


def sample(
    runner: PreparedNetwork, vocabulary: Vocabulary, config: SampleConfig, *, prompt: str = "", seed: int | None = None
) -> Iterator[str]:
    """Draw one text; yield each character as it is drawn.

    prompt: read first and not yielded; its unknown characters are read as UNK (see `vocabulary.unknown`).
    seed: the same seed gives the same text, the first of `sample_many`; None for one that nobody can know.
    Raises ConfigError if the seed is negative; while drawing, DivergedError if the network's outputs are nan.
    """
    return _stream(runner, vocabulary, config, prompt, _root(seed))


def sample_many(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    config: SampleConfig,
    *,
    prompt: str = "",
    n: int = 1,
    seed: int | None = None,
    threads: int = 1,
) -> list[Sample]:
    """Draw n texts, as columns of one batch. As `sample_each`, in a list."""
    check(is_count(n), "n", n, "1 or more")
    return list(sample_each(runner, vocabulary, config, prompt=prompt, n=n, seed=seed, threads=threads))


def sample_each(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    config: SampleConfig,
    *,
    prompt: str = "",
    n: int | None = None,
    seed: int | None = None,
    threads: int = 1,
) -> Iterator[Sample]:
    """Yield n texts that continue `prompt`, without end for None; STREAMS_AT_ONCE are drawn side by side.

    seed: text k depends on the seed and on k, not on n (but for rounding, in batches of different size).
    threads: cores to use.
    Raises ConfigError if the seed is negative; while drawing, DivergedError if the network's outputs are nan.
    """
    return _texts(runner, vocabulary, config, prompt, n, _root(seed), threads)


def _root(seed: int | None) -> int:
    """Return a seed that is known from here on."""
    check(seed is None or is_count(seed, least=0), "seed", seed, "0 or more")
    return int.from_bytes(os.urandom(16), "little") if seed is None else seed


def _choosers(config: SampleConfig, vocabulary: Vocabulary, last: int) -> tuple[TokenSampler, TokenSampler]:
    """Return what chooses the first token that follows id `last`, and what chooses the others.

    UNK is never chosen; nor is EOS following EOS, nor any EOS where a text may not end by itself.
    """
    going_on = TokenSampler(config, slice(vocabulary.eos, vocabulary.unk + 1))
    may_end = TokenSampler(config, vocabulary.unk) if config.can_end else going_on
    return going_on if last == vocabulary.eos else may_end, may_end


def _read(runner: PreparedNetwork, vocabulary: Vocabulary, prompt: str) -> _Start:
    """Read EOS and the prompt, but for the last id of them."""
    ids = np.concatenate(([vocabulary.eos], vocabulary.encode(prompt))).astype(np.intp)[:, None]
    state = runner.zero_state(1)
    if len(ids) > 1:
        _, state = runner.score(ids[:-1], ids[1:], state)
    return _Start(int(ids[-1, 0]), state)


def _stream(
    runner: PreparedNetwork, vocabulary: Vocabulary, config: SampleConfig, prompt: str, seed: int
) -> Iterator[str]:
    stop = StopString(config.stop) if config.stop else None
    tokens, eos = vocabulary.tokens, vocabulary.eos
    last, state = _read(runner, vocabulary, prompt)
    chooser, then = _choosers(config, vocabulary, last)
    walk = runner.stepper(state)
    uniforms = chain.from_iterable(block.tolist() for block in uniform_numbers(seed, 0))
    for uniform in islice(uniforms, config.length):
        last = chooser.choose_one(walk.read_one(last)[0], uniform)
        chooser = then
        if last == eos:
            return
        piece = tokens[last]
        end = stop.completed_in(piece) if stop else None
        yield piece[:end]
        if end is not None:
            return


def _texts(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    config: SampleConfig,
    prompt: str,
    n: int | None,
    seed: int,
    threads: int,
) -> Iterator[Sample]:
    start = _read(runner, vocabulary, prompt)
    choosers = _choosers(config, vocabulary, start.last)

    def draw(runner: PreparedNetwork, batch: _Batch) -> None:
        reader = Reader(may_take_all_cores=threads > 1 and count == 1 and small_product() > 0)
        _draw(runner, choosers, start, batch, uniform_rows(seed, batch.texts), config.length, reader)

    fewest = 1 if small_product() else FEWEST_TEXTS
    drawn = 0
    while n is None or drawn < n:
        size = STREAMS_AT_ONCE if n is None else min(STREAMS_AT_ONCE, n - drawn)
        count = max(1, min(threads, size // fewest, size * runner.size // WORTH_A_THREAD))
        bounds = [drawn + size * k // count for k in range(count + 1)]
        batches = [_Batch(vocabulary, config, range(*pair)) for pair in pairwise(bounds)]
        share_out(draw, batches, [runner] * count)
        for batch in batches:
            yield from batch.samples()
        drawn += size


def _draw(
    runner: PreparedNetwork,
    choosers: tuple[TokenSampler, TokenSampler],
    start: _Start,
    batch: _Batch,
    uniforms: Iterator[Uniforms],
    length: int,
    reader: Reader,
) -> None:
    """Fill `batch`. Streams that have ended leave it, so that they cost nothing."""
    walk = runner.stepper(runner.select(start.state, np.zeros(batch.size, np.intp)))
    reader.go_on_with(walk)
    ids: Ids = np.full(batch.size, start.last, np.intp)
    chooser, then = choosers
    for row in islice(uniforms, length):
        ids, log_probs = chooser.choose(reader.read(ids), row if batch.is_whole else row[batch.going])
        chooser = then
        stays = batch.add(ids, log_probs)
        if stays is not None:
            ids = ids[stays]
            if not ids.size:
                break
            walk = runner.stepper(runner.select(walk.state, np.flatnonzero(stays)))
            reader.go_on_with(walk)


class _Batch:
    """Texts in the making, side by side.

    texts: their numbers.  going: the places of those that have not ended, (B,).
    """

    def __init__(self, vocabulary: Vocabulary, config: SampleConfig, texts: range) -> None:
        self.texts = texts
        self.size = size = len(texts)
        self.going: Ids = np.arange(size)
        self._vocabulary = vocabulary
        self._stop = config.stop
        self._stops = [StopString(config.stop) for _ in range(size)] if config.stop else []
        self._rows: list[Ids] = []  # of those that go on, (B,) each, since the last of them ended
        self._spans: list[tuple[Ids, list[Ids]]] = []  # such rows, and whose they are
        self._sums: Uniforms = np.zeros(size)  # of the log-probabilities of those that go on
        self._log_probs = np.zeros(size)
        self._have_ended = np.zeros(size, bool)

    @property
    def is_whole(self) -> bool:
        """Whether no text has ended."""
        return self.going.size == self.size

    def add(self, ids: Ids, log_probs: Uniforms) -> npt.NDArray[np.bool_] | None:
        """Add an id to each of the texts that go on; return which of them still do, (B,), or None for all.

        ids, log_probs: (B,), one for each of `going`.
        """
        self._rows.append(ids.astype(np.int32))
        self._sums += log_probs
        stays: npt.NDArray[np.bool_] = ids != self._vocabulary.eos
        if self._stops:
            for place in np.flatnonzero(stays):
                piece = self._vocabulary.tokens[ids[place]]
                stays[place] = self._stops[self.going[place]].completed_in(piece) is None
        if stays.all():
            return None
        self._have_ended[self.going[ids == self._vocabulary.eos]] = True
        self._settle()
        self.going, self._sums = self.going[stays], self._sums[stays]
        return stays

    def _settle(self) -> None:
        self._log_probs[self.going] = self._sums
        self._spans.append((self.going, self._rows))
        self._rows = []

    def samples(self) -> Iterator[Sample]:
        """Yield the texts in order, when all is drawn."""
        self._settle()
        grid = np.full((sum(len(rows) for _, rows in self._spans), self.size), self._vocabulary.eos, np.int32)
        start = 0
        for places, rows in self._spans:
            if rows:
                grid[start : start + len(rows), places] = rows
            start += len(rows)
        ends = zip(self._log_probs.tolist(), self._have_ended.tolist(), strict=True)
        for ids, (log_prob, has_ended) in zip(grid.T, ends, strict=True):
            text = self._vocabulary.decode(ids)  # EOS is no character
            if self._stop and self._stop in text:
                text = text[: text.index(self._stop) + len(self._stop)]
            yield Sample(text, log_prob, has_ended)
