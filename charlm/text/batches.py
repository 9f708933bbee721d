"""Windows (T, B) over a training text, for ever: B parallel streams of running text, or lines packed whole.

Both are deterministic in the seed, and `seek(cursor())` continues exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.config import TrainConfig
from charlm.text.corpus import Corpus


class Batch(NamedTuple):
    """A window: inputs and targets (T, B), and how much each target counts (T, B), None for one each."""

    inputs: Ids
    targets: Ids
    weights: Array | None


MOST_SUBSTITUTED = 0.01
"""Share of characters that are made UNK at most: a text of a few lines is to be learned, too."""


class Batches(ABC):
    """What running text and lines share: the shape, the place in the text, and randomness.

    steps, streams: T and B, as much of what was asked for as the text allows; `shrunk` says so if not all.
    part: the streams that `next` reads and returns; all, unless other processes read the others.
    windows_per_epoch: windows in a pass over the text.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, steps: int, streams: int) -> None:
        self.corpus = corpus
        self.ids = corpus.train_ids
        self.eos, self.unk = corpus.vocabulary.eos, corpus.vocabulary.unk
        self.steps, self.streams = steps, streams
        self.part = slice(0, streams)
        self.shrunk = None
        if (steps, streams) != (config.bptt, config.batch):
            size = len(self.ids) - 1
            self.shrunk = (
                f"the text has {size:,} character{'s' if size > 1 else ''} to learn from: windows shrunk to "
                f"{streams} x {steps} (asked for: batch {config.batch}, bptt {config.bptt})"
            )
        self.seed = config.seed
        self.unk_rate = 0.0 if corpus.unknown else min(corpus.novelty, MOST_SUBSTITUTED)
        self.window = 0
        self.windows_per_epoch = 1
        self.rng = np.random.default_rng([config.seed, 2])

    @abstractmethod
    def next(self) -> Batch:
        """Return the next window."""

    def cursor(self) -> dict[str, Any]:
        """Return the place in the text, JSON-able."""
        return {"window": self.window, "rng": self.rng.bit_generator.state}

    def seek(self, cursor: dict[str, Any]) -> None:
        """Go to a place that `cursor` returned."""
        self.window = cursor["window"]
        self.rng.bit_generator.state = cursor["rng"]

    def epoch_rng(self, epoch: int) -> np.random.Generator:
        """Return a generator for what is drawn once an epoch."""
        return np.random.default_rng([self.seed, 3, epoch])

    def substitute_unknown(self, inputs: Ids, targets: Ids) -> None:
        """Make a few characters UNK, as targets and as the inputs that follow, so that UNK is learned."""
        size = self.steps * self.streams
        count = self.rng.binomial(size, self.unk_rate) if self.unk_rate else 0
        for place in self.rng.integers(0, size, count):
            t, stream = divmod(int(place), self.streams)
            b = stream - self.part.start
            if 0 <= b < targets.shape[1] and targets[t, b] != self.eos:
                targets[t, b] = self.unk
                if t + 1 < self.steps and inputs[t + 1, b] != self.eos:
                    inputs[t + 1, b] = self.unk

    def count_window(self) -> None:
        """Go on to the next window, and give back memory now and then."""
        self.window += 1
        if self.window % 512 == 0:
            self.corpus.store.release()


class StreamBatches(Batches):
    """Running text: B streams, each a stretch of the text, whose state is carried from window to window.

    Some streams start anew in each window: at the first start of a line, the input is EOS instead of the
    newline before it. So the network learns how texts start, and its state never grows without end.
    In each epoch all stretches are shifted by a random offset.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        pairs = len(corpus.train_ids) - 1
        steps = min(config.bptt, pairs)
        super().__init__(corpus, config, steps, max(1, min(config.batch, pairs // steps)))
        self.pairs = pairs
        self.stretch = pairs // self.streams
        self.windows_per_epoch = max(1, self.stretch // steps)
        newline = corpus.vocabulary.encode("\n")
        self.newline = int(newline[0]) if newline.size and newline[0] != self.unk else -1
        self.restart_rate = self.rate_of_restarts(config.restart_rate)

    def rate_of_restarts(self, wanted: float) -> float:
        """Return how often a window with a start of a line restarts, so that `wanted` of all windows do."""
        if self.newline < 0:
            return wanted
        share = float(np.mean(np.asarray(self.ids[:1_000_000]) == self.newline))
        has_newline = -math.expm1(self.steps * math.log1p(-min(share, 1 - 1e-9)))
        return min(1.0, wanted / has_newline) if has_newline else wanted

    def next(self) -> Batch:
        """Return the next window."""
        epoch, place = divmod(self.window, self.windows_per_epoch)
        offset = int(self.epoch_rng(epoch).integers(self.pairs)) if epoch else 0
        firsts = np.arange(self.part.start, self.part.stop) * self.stretch + place * self.steps + offset
        places = (firsts + np.arange(self.steps)[:, None]) % self.pairs
        inputs = self.ids[places].astype(np.intp)
        targets = self.ids[places + 1].astype(np.intp)
        begins_epoch = place == 0 and self.newline >= 0  # the streams jump to other stretches
        chosen = self.rng.random(self.streams) < (1.0 if begins_epoch else self.restart_rate)
        self.restart(inputs, np.flatnonzero(chosen[self.part]))
        self.substitute_unknown(inputs, targets)
        self.count_window()
        return Batch(inputs, targets, None)

    def restart(self, inputs: Ids, streams: Ids) -> None:
        """Start streams anew at their first start of a line, if they have one; anywhere in a text of one line."""
        for stream in streams:
            at = np.flatnonzero(inputs[:, stream] == self.newline)
            if at.size:
                inputs[at[0], stream] = self.eos
            elif self.newline < 0:
                inputs[0, stream] = self.eos


class LineBatches(Batches):
    """Lines: each column of a window is filled with whole lines, and what is left over does not count.

    A line starts behind an EOS, where the network's state is reset. A line that is longer than a window goes
    on in the same column of the next. Windows come in a new random order each epoch.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        ends = np.flatnonzero(np.asarray(corpus.train_ids) == corpus.vocabulary.eos)
        total = int(ends[-1])
        steps = min(config.bptt, max(int(np.diff(ends).max()), min(config.bptt, total)))
        bins = pack(ends, steps)
        super().__init__(corpus, config, steps, max(1, min(config.batch, len(bins))))
        self.bins = bins
        self.columns_length = -(-len(bins) // self.streams)
        self.windows_per_epoch = self.columns_length
        self._epoch = -1
        self._order: Ids = np.zeros(0, np.intp)

    def order(self, epoch: int) -> Ids:
        """Return the order of the bins in an epoch; the bins of a long line stay together."""
        if epoch != self._epoch:
            groups = np.cumsum(~self.bins["goes_on"]) - 1  # of each bin
            ranks = self.epoch_rng(epoch).permutation(int(groups[-1]) + 1)
            self._order = np.argsort(ranks[groups], kind="stable")
            self._epoch = epoch
        return self._order

    def next(self) -> Batch:
        """Return the next window."""
        epoch, place = divmod(self.window, self.windows_per_epoch)
        order = self.order(epoch)
        slots = np.arange(self.part.start, self.part.stop) * self.columns_length + place
        filled = slots < len(order)
        chosen = self.bins[order[np.minimum(slots, len(order) - 1)]]
        lengths = np.where(filled, chosen["length"], 0)
        if place == 0:  # the rest of a line whose start is in another column
            lengths = np.where(chosen["goes_on"], 0, lengths)
        steps = np.arange(self.steps)[:, None]
        counts = steps < lengths
        places = chosen["first"] + np.minimum(steps, np.maximum(lengths - 1, 0))
        inputs = np.where(counts, self.ids[places], self.eos).astype(np.intp)
        targets = np.where(counts, self.ids[places + 1], self.eos).astype(np.intp)
        self.substitute_unknown(inputs, targets)
        self.count_window()
        return Batch(inputs, targets, None if counts.all() else counts.astype(np.float32))


BIN = np.dtype([("first", np.int64), ("length", np.int32), ("goes_on", np.bool_)])
"""A column of a window: its first input in the text, how many count, whether it continues a long line."""


def pack(ends: Ids, steps: int) -> npt.NDArray[Any]:
    """Pack lines into columns of `steps`, as many whole lines as fit into each.

    ends: places of the EOS before the first line and behind each, (lines + 1,).
    Returns an array of BIN.
    """
    bins: list[tuple[int, int, bool]] = []
    line, last = 0, len(ends) - 1
    while line < last:
        start = int(ends[line])
        fits = int(np.searchsorted(ends, start + steps, side="right")) - 1
        if fits > line:
            bins.append((start, int(ends[fits]) - start, False))
            line = fits
            continue
        stop = int(ends[line + 1])
        bins += [(at, min(steps, stop - at), at > start) for at in range(start, stop, steps)]
        line += 1
    return np.array(bins, BIN)
