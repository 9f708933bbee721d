"""Pools: texts that are scored together, one column a text, texts of similar length side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids
from charlm.kernels.threads import share_out
from charlm.scoring.chunked import LONG, score_long
from charlm.scoring.shared_prefixes import SharedPrefixes

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.inference.stepper import Stepper
    from charlm.text.vocabulary import Vocabulary

Places = npt.NDArray[np.intp]

TEXTS_AT_ONCE = 1 << 14
CHARACTERS_AT_ONCE = 1 << 21
STATE_VALUES_AT_ONCE = 1 << 24
"""A pool is full at whichever comes first: so many texts, characters, or values in the states of its texts."""
FIRST = 1, 32
"""Texts in the first scoring_batches, which a slow source has its first answers from."""
FEWEST_COLUMNS = 32
"""Texts from which on they are read step by step."""
SHARE = 1 << 13
"""Texts of a share at most: there are states of all that can be shared in it."""
ALIKE = 8
"""First characters by which texts are sorted, when they are shared out."""
SHARE_GOING = 0.9
"""Of a batch: when fewer have not ended, the others leave it."""
WORTH_A_THREAD = 1_000_000_000
"""Multiplications from which on a thread of its own is worth it."""
PLACES_AT_ONCE = 1 << 13
"""T * B of a window at most."""


class SharedPrefix(NamedTuple):
    """What stands before each text: the last id of EOS and the context, and the state before it is read."""

    last: int
    state: Any


def read_shared_prefix(runner: PreparedNetwork, vocabulary: Vocabulary, context: str) -> SharedPrefix:
    """Read EOS and the context, but for the last id of them."""
    ids = np.concatenate(([vocabulary.eos], vocabulary.encode(context))).astype(np.intp)[:, None]
    state = runner.zero_state(1)
    if len(ids) > 1:
        _, state = runner.score(ids[:-1], ids[1:], state)
    return SharedPrefix(int(ids[-1, 0]), state)


def scoring_batches(
    texts: Iterable[str], vocabulary: Vocabulary, beginning: SharedPrefix, end: bool
) -> Iterator[ScoringBatch]:
    """Gather texts into scoring_batches: the first holds one text, the next a few, all others as many as they may.

    So a slow source gets its first answers at once, and in large scoring_batches many texts begin alike.
    """
    state_values = sum(array.size for layer in beginning.state for array in layer)
    most = min(TEXTS_AT_ONCE, max(FEWEST_COLUMNS, STATE_VALUES_AT_ONCE // state_values))
    rooms = chain(FIRST, repeat(most))
    room = next(rooms)
    gathered: list[str] = []
    characters = 0
    for text in texts:
        gathered.append(text)
        characters += len(text)
        if len(gathered) >= room or characters >= CHARACTERS_AT_ONCE:
            yield ScoringBatch(gathered, vocabulary, beginning, end)
            room = next(rooms)
            gathered, characters = [], 0
    if gathered:
        yield ScoringBatch(gathered, vocabulary, beginning, end)


def encode_all(vocabulary: Vocabulary, texts: Sequence[str]) -> tuple[Ids, Places]:
    """Return the ids of all texts, one behind the other, and how many each has."""
    if vocabulary.unit == "char":  # a character is an id: one call encodes them all
        return vocabulary.encode("".join(texts)), np.fromiter(map(len, texts), np.intp, len(texts))
    pieces = [vocabulary.encode(text) for text in texts]
    return np.concatenate(pieces), np.fromiter(map(len, pieces), np.intp, len(pieces))


class ScoringBatch:
    """Texts and their ids, one behind the other.

    ids: what is predicted, (N,).  inputs: what is read right before each of them, (N,).
    counts: how many of them belong to each text.
    """

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary, beginning: SharedPrefix, end: bool) -> None:
        self.texts = texts
        ids, lengths = encode_all(vocabulary, texts)
        self.counts = lengths + int(end)
        self._starts = np.cumsum(self.counts) - self.counts
        self.ids: Ids = np.full(int(self.counts.sum()), vocabulary.eos, np.int32)
        self.ids[np.arange(len(ids)) + int(end) * np.repeat(np.arange(len(texts)), lengths)] = ids
        self.inputs = np.empty_like(self.ids)
        self.inputs[1:] = self.ids[:-1]
        self.inputs[self._starts[self.counts > 0]] = beginning.last
        self._last, self._state = beginning
        self._vocabulary = len(vocabulary)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum (N,) values over each text, in their own dtype."""
        sums = np.zeros(len(self.texts), values.dtype)
        filled = self.counts > 0
        if filled.any():
            sums[filled] = np.add.reduceat(values, self._starts[filled])
        return sums

    def log_probs(self, networks: Sequence[PreparedNetwork]) -> npt.NDArray[np.float64]:
        """Return the log-probability of each of `ids`, (N,), in nats.

        networks: of one network; each takes batches on a thread of its own.
        """
        result = np.empty(len(self.ids))
        texts = np.flatnonzero(self.counts)
        is_long = self.counts[texts] >= LONG
        if is_long.sum() < FEWEST_COLUMNS // 2:  # too few for batches of their own
            for text in texts[is_long]:
                part = slice(self._starts[text], self._starts[text] + self.counts[text])
                result[part], _ = score_long(networks, self.inputs[part], self.ids[part], self._state)
            texts = texts[~is_long]

        def work(runner: PreparedNetwork, share: Places) -> None:
            self._score_share(runner, share, result)

        multiplications = networks[0].size * int(self.counts[texts].sum())
        threads = max(1, min(len(networks), texts.size // FEWEST_COLUMNS, multiplications // WORTH_A_THREAD))
        shares = threads * max(1, -(-texts.size // (threads * SHARE)))
        share_out(work, self._shares(texts, shares), networks[:threads])
        return result

    def _shares(self, texts: Places, count: int) -> list[Places]:
        """Cut texts into shares of about as many characters to be read; texts that begin alike are in one.

        A thread goes through a share by itself: there is nothing that one would have to wait for.
        """
        if count == 1:
            return [texts]
        counts = self.counts[texts]
        first = self.ids[self._starts[texts] + np.minimum(np.arange(ALIKE)[:, None], counts - 1)]  # (ALIKE, B)
        first = first.astype(np.uint16)  # which is sorted in no time; ids that become the same do no harm
        order = np.lexsort(first[::-1])
        texts, counts, first = texts[order], counts[order], first[:, order]
        counts[1:] -= np.logical_and.accumulate(first[:, 1:] == first[:, :-1]).sum(axis=0)  # what is read once
        read = np.cumsum(counts)
        return np.split(texts, np.searchsorted(read, read[-1] * np.arange(1, count) / count))

    def _score_share(self, runner: PreparedNetwork, texts: Places, result: npt.NDArray[np.float64]) -> None:
        """Fill the places of the texts in `result`."""
        longest_first = texts[np.argsort(-self.counts[texts], kind="stable")]
        read = SharedPrefixes(
            self.ids, self._starts, self.counts, longest_first, self._last, self._state, self._vocabulary
        )
        while read.are_shared:
            read.read_on(runner, result)
        going = longest_first[: np.count_nonzero(self.counts[longest_first] > read.done)]
        if len(going) < FEWEST_COLUMNS:
            self._score_windows(runner, going, read, result)
            return
        batches = np.array_split(going, -(-len(going) // runner.rows_at_once))
        walks = {size: runner.stepper(runner.zero_state(size)) for size in {len(columns) for columns in batches}}
        for columns in batches:
            read.move(walks[len(columns)], columns)
            self._score_steps(runner, walks[len(columns)], columns, read.done, result)

    def _score_steps(
        self, runner: PreparedNetwork, walk: Stepper, columns: Places, done: int, result: npt.NDArray[np.float64]
    ) -> None:
        """Score the texts `columns`, longest first, from where `walk` stands; fill their places in `result`.

        done: characters that were read of each.
        A step for all of them is faster than windows are, where they are many.
        """
        starts, counts = self._starts[columns], self.counts[columns]
        while done < counts[0]:
            going = int(np.searchsorted(-counts, -done, side="left"))  # texts with more characters than that
            if going < SHARE_GOING * len(starts):
                walk = runner.stepper(runner.select(walk.state, slice(0, going)))
                starts, counts = starts[:going], counts[:going]
            until = int(counts[math.ceil(SHARE_GOING * len(counts)) - 1])  # then so few go on that the others leave
            until = min(until, done + max(1, PLACES_AT_ONCE // len(counts)))
            steps = np.arange(done, until)[:, None]
            places = starts + np.minimum(steps, counts - 1)  # those that have ended read their last again
            log_probs = walk.score(self.inputs[places], self.ids[places])
            is_inside = steps < counts
            result[places[is_inside]] = log_probs[is_inside]
            done = until

    def _score_windows(
        self, runner: PreparedNetwork, columns: Places, read: SharedPrefixes, result: npt.NDArray[np.float64]
    ) -> None:
        """As `_score_steps`, in windows: faster for a few texts."""
        state = read.state_of(runner, columns)
        starts, counts = self._starts[columns], self.counts[columns]
        done = read.done
        while len(counts):
            steps = _steps(counts - done)
            places = np.minimum(np.arange(done, done + steps)[:, None], counts - 1) + starts  # (T, B)
            log_probs, state = runner.score(self.inputs[places], self.ids[places], state)
            is_inside = np.arange(done, done + steps)[:, None] < counts
            result[places[is_inside]] = log_probs[is_inside]
            done += steps
            going = int(np.searchsorted(-counts, -done, side="left"))  # columns with more than `done`
            if going < len(counts):
                starts, counts = starts[:going], counts[:going]
                if going:
                    state = runner.select(state, slice(0, going))


def _steps(left: Places) -> int:
    """Return how many steps to take at once, where `left`, falling, says how many each column still has.

    All of them if at most a quarter of that is padding; otherwise until a quarter of the columns has ended.
    """
    longest, columns = int(left[0]), len(left)
    is_dense = 4 * int(left.sum()) >= 3 * longest * columns
    return min(longest if is_dense else int(left[3 * (columns - 1) // 4]), max(1, PLACES_AT_ONCE // columns))
