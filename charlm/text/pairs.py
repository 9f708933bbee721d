"""Pairs of texts: rows of "source TAB target", and their windows.

A corpus of pairs is a sequence of symbols: those of a source, those of its target, the symbol END and EOS. A symbol of
a source is a character that the network reads; one of a target is a label. See `charlm.nn.encoder_decoder` for the
form of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import TextConfig, TrainConfig
from charlm.errors import CorpusError, EmptyCorpusError
from charlm.text.batches import Batch, Batches
from charlm.text.corpus import Corpus
from charlm.text.labelled import mask_unknown, symbols_of
from charlm.text.reading import name_of, read_chunks
from charlm.text.rows import numbered_lines
from charlm.text.symbols import NO_LABEL, Symbols
from charlm.text.tuning import DEFAULT_TUNING, TextTuning
from charlm.text.vocabulary import EOS, Vocabulary

TARGET = "\t"
"""The first character of a symbol of a target; a source has none."""


class Pair(NamedTuple):
    """A source with its target, the units of the target, and the number of its line in the file, from 1."""

    source: str
    target: str
    units: Sequence[str]
    line: int


def split_target(target: str, unit: str) -> Sequence[str]:
    """Split a target into its units: characters, or symbols between spaces."""
    return target.split() if unit == "symbol" else target


def join_target(units: Sequence[str], unit: str) -> str:
    """Return the target of units."""
    return (" " if unit == "symbol" else "").join(units)


def read_pairs(path: str | PathLike[str], config: TextConfig, tuning: TextTuning = DEFAULT_TUNING) -> Iterator[Pair]:
    """Yield the pairs of a file, a line "source TAB target" each; empty lines are left out.

    Raises
    ------
    CorpusError
        A line has no tab or more than one, an empty source or target, or one that is longer than
        `tuning.max_pair_length`.
    """
    name = name_of(path)
    for number, line in numbered_lines(read_chunks(path, config, tuning)):
        if not line.strip():
            continue
        source, *targets = line.split("\t")
        if len(targets) != 1:
            found = f"{len(targets) + 1} columns" if targets else "no tab"
            raise CorpusError(f"{name}: line {number} has {found}; expected: source TAB target")
        units = split_target(targets[0], config.target_unit)
        for title, text, size in (("source", source, len(source)), ("target", targets[0], len(units))):
            if not text.strip():
                raise CorpusError(f"{name}: line {number} has an empty {title}; expected: source TAB target")
            if size > tuning.max_pair_length:
                raise CorpusError(
                    f"{name}: line {number} has a {title} of length {size:,}; "
                    f"a pair has at most {tuning.max_pair_length:,} in each"
                )
        yield Pair(source, targets[0], units, number)


@dataclass
class PairScheme:
    """Characters of sources, and labels of targets: see `charlm.text.symbols.Scheme`."""

    labels: tuple[str, ...] | None
    min_count: int = 1
    is_condition: bool = False

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the symbols of the pairs, of some pairs at a time."""
        pairs = read_pairs(path, config, tuning)
        while some := list(islice(pairs, tuning.pairs_per_part)):
            yield [
                symbol
                for pair in some
                for symbol in (*pair.source, *(TARGET + unit for unit in pair.units), TARGET, EOS)
            ]

    def split(self, symbol: str) -> tuple[str, str | None]:
        """Return the character of a symbol of a source, or EOS and the label of one of a target."""
        return (EOS, symbol[1:]) if symbol[0] == TARGET else (symbol, None)


class PairTable(NamedTuple):
    """Where the pairs of a text are.

    Attributes
    ----------
    starts : ndarray of int, (N,)
        Index of the first symbol of each source.
    sources, targets : ndarray of int, (N,)
        Number of symbols of each source, and of each target with END.
    """

    starts: Ids
    sources: Ids
    targets: Ids

    @classmethod
    def find(cls, ids: Ids, symbols: Symbols) -> PairTable:
        """Find the pairs in symbols, (n,), that begin and end with EOS."""
        ends = np.flatnonzero(np.asarray(ids) == Vocabulary.eos)
        starts, lengths = ends[:-1] + 1, np.diff(ends) - 1
        if not starts.size:
            return cls(starts, lengths, lengths)
        is_source = (symbols.tokens[ids] != Vocabulary.eos).astype(np.intp)
        sources = np.add.reduceat(is_source, starts)
        return cls(starts, sources, lengths - sources)

    @property
    def steps(self) -> int:
        """T of a window for any of the pairs: EOS and the longest source, or the longest target."""
        return max(int(self.sources.max(initial=0)) + 1, int(self.targets.max(initial=1)))

    def select(self, indices: Ids | slice) -> PairTable:
        """Return some of the pairs."""
        return PairTable(self.starts[indices], self.sources[indices], self.targets[indices])

    def by_length(self) -> Ids:
        """Return the order of the pairs by the length of the source, then by that of the target."""
        return np.lexsort((self.targets, self.sources))

    def window(self, ids: Ids, symbols: Symbols, steps: int) -> tuple[Ids, Ids, Array]:
        """Lay out the pairs side by side, B of them, in T = `steps` steps; return inputs, targets and weights."""
        step = np.arange(steps)[:, None]
        backwards = steps - 1 - step  # index of the symbol of a source: the last step reads the first
        is_source = backwards < self.sources
        at = self.starts + np.minimum(backwards, self.sources - 1)
        inputs = np.where(is_source, symbols.tokens[ids[at]], Vocabulary.eos)
        is_target = step < self.targets
        at = self.starts + self.sources + np.minimum(step, self.targets - 1)
        labels = np.where(is_target, symbols.labels[ids[at]], 0)
        weights: Array = (is_target & (labels != NO_LABEL)).astype(np.float32)
        labels[labels == NO_LABEL] = 1  # any label but END is read in its place
        return inputs.astype(np.intp), labels.astype(np.intp), weights


class PairBatches(Batches):
    """Windows of sources of similar lengths, a pair in each stream, in a random order each epoch."""

    has_labels = True

    def __init__(self, corpus: Corpus, config: TrainConfig, tuning: TextTuning = DEFAULT_TUNING) -> None:
        self.pairs = PairTable.find(corpus.train_ids, symbols_of(corpus))
        if not self.pairs.starts.size:
            raise EmptyCorpusError(f"{', '.join(corpus.source.names)}: no pair in the training part")
        super().__init__(corpus, config, self.pairs.steps, len(self.pairs.starts), tuning)
        self.windows_per_epoch = -(-len(self.pairs.starts) // self.streams)
        self.size_message = None  # the pairs alone determine T

    @property
    def symbols_per_window(self) -> float:
        """Mean number of symbols in a window, without padding."""
        return len(self.ids) / self.windows_per_epoch

    def draw_order(self, rng: np.random.Generator) -> Ids:
        """Draw the pairs of the windows of an epoch, (windows, B); -1 for none.

        The pairs of some windows, in a random order, are sorted by the length of their sources and cut into windows.
        By that of their targets they are not: it would gather unusual pairs, such as acronyms, in a few windows.
        """
        order = np.full(self.windows_per_epoch * self.streams, -1)
        order[: len(self.pairs.starts)] = rng.permutation(len(self.pairs.starts))
        pool = self.tuning.windows_per_pool * self.streams
        for first in range(0, len(order), pool):
            own = order[first : first + pool]
            own[...] = own[np.argsort(self.pairs.sources[own], kind="stable")]
        return rng.permutation(order.reshape(-1, self.streams))

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        chosen = self.order(epoch)[index][self.local_slice]
        inputs, targets, weights = self.pairs.select(chosen).window(self.ids, symbols_of(self.corpus), self.steps)
        weights[:, chosen < 0] = 0
        mask_unknown(inputs, self.unk_rate, self.rng)
        return Batch(inputs, targets, weights)


def lay_out_pairs(ids: Ids, symbols: Symbols, limit: int) -> tuple[Ids, Ids, Array]:
    """Lay out the first pairs of a text for evaluation: those that start within `limit` symbols, the shortest first."""
    pairs = PairTable.find(ids, symbols)
    pairs = pairs.select(slice(int(np.searchsorted(pairs.starts, limit, side="right"))))
    return pairs.select(pairs.by_length()).window(ids, symbols, pairs.steps)
