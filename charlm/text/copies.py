"""Find what of a text is copied from other texts: the runs of characters that they share.

The n-grams of the text are hashed (`ngrams`). The other texts, which may be large, are read once in chunks. For n = 1,
2, ... the positions of a chunk are kept whose n-gram is one of the text: few are left after ten characters. Where an
n-gram of the minimum length matches, the text and the chunk share a run on the same diagonal, position there minus
position here. Only the first and the last n-gram of each run are stored, so memory is bounded by the text and the
number of runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple

import numpy as np

from charlm.checks import check, check_value, integer_rule
from charlm.config import TextConfig
from charlm.text.ngrams import BASE, Hashes, Indices, NgramSet, character_values, ngram_hashes
from charlm.text.reading import normalize_text, read_chunks
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

MAX_LENGTH = 50
"""Length of the longest substrings whose novelty is measured."""
MIN_LENGTH = 10
"""Length of the shortest runs that are reported, at least."""
COMMON = 8
"""Length up to which most substrings of a text occur in a similar one."""
NEWLINE = character_values("\n")[0]


@dataclass(frozen=True)
class Copy:
    """A run of characters that a text shares with another text, and that is part of no longer one.

    Attributes
    ----------
    index : offset of its first character in the text.
    text : its characters.
    source : path of the other text.
    source_index, source_line : offset of the run in the other text, and its line, counted from 1: the first place.
    places : how often the run occurs in all texts.
    """

    index: int
    text: str
    source: str
    source_index: int
    source_line: int
    places: int

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Copies:
    """What of a text is copied from other texts.

    Attributes
    ----------
    characters : length of the text.
    min_length : length of the shortest runs that are reported.
    copied : characters of the text in such runs.
    longest : length of the longest run of any length, at least for runs of up to 50 characters.
    novel : fraction of the substrings of length 1, 2, ... 50 that do not occur in the other texts.
    runs : the runs, in their order in the text. They may overlap.
    """

    characters: int
    min_length: int
    copied: int
    longest: int
    novel: tuple[float, ...]
    runs: tuple[Copy, ...]

    @property
    def fraction(self) -> float:
        """The fraction of the characters in runs; 0 for an empty text."""
        return self.copied / self.characters if self.characters else 0.0


def copies(
    text: str,
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    min_length: int = 20,
    config: TextConfig | None = None,
) -> Copies:
    """Return what of a text is copied from files, such as the training text of a model.

    Parameters
    ----------
    text : str
        Any text.
    paths : path or sequence of paths
        The files.
    min_length : int, default 20
        Length of the shortest runs that are reported, 10 to 50.
    config : TextConfig, optional
        Encoding and normal form of the files; the text gets the same normal form.

    Raises
    ------
    CorpusError
        If a file cannot be read.
    """
    check_value("min_length", min_length, integer_rule(MIN_LENGTH, MAX_LENGTH))
    config = TextConfig() if config is None else config
    check(isinstance(text, str), "text", text, "a string")
    files = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    search = CopySearch(normalize_text(text, config), min_length)
    for block in search.blocks():
        for number, path in enumerate(files):
            search.scan(read_chunks(path, config), number, block)
    return search.result([str(path) for path in files])


class Block(NamedTuple):
    """Consecutive start positions in the text, whose n-grams are searched for together.

    order : the positions, sorted by their n-grams of the minimum length.  levels : a set of n-grams for each n, from 1.
    """

    order: Indices
    levels: list[NgramSet]


class Chunk(NamedTuple):
    """A part of another text.

    values : of its characters.  offset : of the first one.  first, stop : the positions whose runs are new here.
    lines : newlines before it.  is_last : whether the text ends here.
    """

    values: Hashes
    offset: int
    first: int
    stop: int
    lines: int
    is_last: bool


class CopySearch:
    """A search for the runs that a text shares with others.

    text : the text.  min_length : of the runs.  tuning : sizes of chunks and blocks.
    """

    def __init__(self, text: str, min_length: int, tuning: TextTuning = DEFAULT_TUNING) -> None:
        self.text, self.min_length, self._tuning = text, min_length, tuning
        self._values = character_values(text)
        self._starts: list[tuple[Indices, ...]] = []  # number of the source, diagonal, position in the text, line
        self._ends: list[tuple[Indices, ...]] = []
        self._seen = np.zeros(MAX_LENGTH + 1, np.int64)  # substrings that were seen, by length

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the text; count the substrings of each that were seen after it was scanned."""
        size = self._tuning.copy_block_characters
        for start in range(0, len(self.text), size):
            values = self._values[start : start + size + MAX_LENGTH - 1]
            lengths = range(1, min(MAX_LENGTH, len(values)) + 1)
            levels = [NgramSet(ngram_hashes(values, n)[:size], 3 if n <= COMMON else 0) for n in lengths]
            order = np.argsort(ngram_hashes(values, self.min_length)[:size], kind="stable")
            block = Block(start + order, levels)
            yield block
            for n, level in enumerate(block.levels, 1):
                self._seen[n] += level.counts[level.is_seen].sum()

    def scan(self, chunks: Iterable[str], source: int, block: Block) -> None:
        """Search for a block in a text that arrives in chunks."""
        for chunk in self._chunks(chunks):
            positions: Indices = np.arange(len(chunk.values))
            hashes: Hashes = np.zeros(len(chunk.values), np.uint64)
            for n, level in enumerate(block.levels, 1):
                is_inside = positions + n <= len(chunk.values)
                positions, hashes = positions[is_inside], hashes[is_inside]
                hashes = hashes * np.uint64(BASE) + chunk.values[positions + n - 1]
                kept, numbers = level.find(hashes)
                positions, hashes = positions[kept], hashes[kept]
                level.is_seen[numbers] = True
                if not positions.size:
                    break
                if n == self.min_length:
                    self._store(chunk, source, block, (positions, numbers))

    def _chunks(self, chunks: Iterable[str]) -> Iterator[Chunk]:
        """Join chunks to larger ones, which overlap by the longest substring and a character on each side."""
        kept, first, offset, lines = np.zeros(0, np.uint64), 0, 0, 0
        overlap = MAX_LENGTH + 1
        for text, is_last in with_last(joined(chunks, self._tuning.copy_chunk_characters)):
            values = np.concatenate((kept, character_values(text)))
            stop = len(values) - self.min_length + is_last  # without the last one, whose next character is unknown
            yield Chunk(values, offset, first, stop, lines, is_last)
            cut = max(0, len(values) - overlap)
            lines += int(np.count_nonzero(values[:cut] == NEWLINE))
            kept, first, offset = values[cut:], max(0, stop - cut), offset + cut

    def _store(self, chunk: Chunk, source: int, block: Block, found: tuple[Indices, Indices]) -> None:
        """Store the runs that begin or end at n-grams of the minimum length in a chunk."""
        positions, numbers = found
        is_new = (positions >= chunk.first) & (positions < chunk.stop)
        positions, numbers = positions[is_new], numbers[is_new]
        level = block.levels[self.min_length - 1]
        bounds = np.concatenate(([0], np.cumsum(level.counts)))
        pairs = np.cumsum(level.counts[numbers])
        limit = self._tuning.max_copy_pairs
        cuts = np.searchsorted(pairs, np.arange(limit, int(pairs[-1]) if pairs.size else 0, limit))
        for there, number in zip(np.split(positions, cuts), np.split(numbers, cuts), strict=True):
            counts = level.counts[number]
            rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            here = block.order[np.repeat(bounds[number], counts) + rank]
            self._store_ends(chunk, source, here, np.repeat(there, counts))

    def _store_ends(self, chunk: Chunk, source: int, here: Indices, there: Indices) -> None:
        """Store the pairs of positions, in the text and in a chunk, at which a run begins or ends."""
        values, other, n = self._values, chunk.values, self.min_length
        begins = (here == 0) | (there + chunk.offset == 0) | (values[here - 1] != other[there - 1])
        last, last_there = here + n, there + n
        is_end = (last == len(values)) | (chunk.is_last & (last_there == len(other)))
        differs = values[np.minimum(last, len(values) - 1)] != other[np.minimum(last_there, len(other) - 1)]
        for stored, is_stored in ((self._starts, begins), (self._ends, is_end | differs)):
            chosen, at = here[is_stored], there[is_stored]
            lines = chunk.lines + 1 + np.searchsorted(np.flatnonzero(other == NEWLINE), at) if at.size else at
            stored.append((np.full(chosen.size, source), at + chunk.offset - chosen, chosen, lines))

    def result(self, sources: Sequence[str]) -> Copies:
        """Return what was found, with the names of the sources."""
        characters, n = len(self.text), self.min_length
        source, diagonal, start, line = in_order(self._starts)
        length = in_order(self._ends)[2] + n - start  # on a diagonal, begins and ends alternate
        runs, copied = [], np.zeros(characters, bool)
        order = np.lexsort((diagonal, source, -length, start))
        reached = 0
        places = dict(zip(*np.unique(start * (characters + 1) + length, return_counts=True), strict=True))
        for k in order.tolist():
            begin, size = int(start[k]), int(length[k])
            if begin + size > reached:
                reached = begin + size
                copied[begin:reached] = True
                text, count = self.text[begin:reached], int(places[begin * (characters + 1) + size])
                at = int(diagonal[k]) + begin
                runs.append(Copy(begin, text, sources[int(source[k])], at, int(line[k]), count))
        totals = [characters - length + 1 for length in range(1, min(MAX_LENGTH, characters) + 1)]
        novel = [1 - seen / total for seen, total in zip(self._seen[1:].tolist(), totals, strict=False)]
        longest = max([0, *map(len, runs), *np.flatnonzero(self._seen).tolist()])
        return Copies(characters, n, int(copied.sum()), longest, tuple(novel), tuple(runs))


def in_order(stored: Sequence[tuple[Indices, ...]]) -> tuple[Indices, ...]:
    """Return the columns of all parts, sorted by source, diagonal and position in the text."""
    if not stored:
        empty: Indices = np.zeros(0, np.int64)
        return empty, empty, empty, empty
    columns = tuple(np.concatenate(parts) for parts in zip(*stored, strict=True))
    order = np.lexsort((columns[2], columns[1], columns[0]))
    return tuple(column[order] for column in columns)


def joined(chunks: Iterable[str], size: int) -> Iterator[str]:
    """Join chunks to chunks of at least `size` characters, except for the last."""
    parts: list[str] = []
    total = 0
    for chunk in chunks:
        parts.append(chunk)
        total += len(chunk)
        if total >= size:
            yield "".join(parts)
            parts, total = [], 0
    yield "".join(parts)


def with_last(chunks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each chunk, and whether it is the last one."""
    iterator = iter(chunks)
    before = next(iterator, "")
    for chunk in iterator:
        yield before, False
        before = chunk
    yield before, True
