"""Endless windows (T, B) of a training text: B parallel streams of running text, or whole lines packed into columns.

Both are deterministic in the seed, and `load_state_dict(state_dict())` continues exactly.
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
from charlm.text.store import release_pages
from charlm.text.tuning import DEFAULT_TUNING, TextTuning
from charlm.text.vocabulary import Vocabulary


class Batch(NamedTuple):
    """A window: inputs and targets, (T, B), and the weight of each target in the loss, (T, B); None for ones."""

    inputs: Ids
    targets: Ids
    weights: Array | None


class Batches(ABC):
    """Windows of a training text: their shape, their position in the text, and their random generator.

    Parameters
    ----------
    corpus : Corpus
        The text.
    config : TrainConfig
        The largest window (`bptt` x `batch`), and the seed.
    steps : int
        T.
    max_streams : int
        The number of streams for which the text is long enough.
    tuning : TextTuning
        Rates of UNK.

    Attributes
    ----------
    steps, streams : int
        T and B.
    local_slice : slice
        The streams that `next` returns: all, unless other processes compute the rest.
    windows_per_epoch : int
        Windows in a pass over the text.
    has_labels : bool
        Whether the targets are labels, of which a window may have none.
    size_message : str or None
        A message if the text is too short for the window of `config`, so that T or B is smaller; None otherwise.
    """

    eos, unk = Vocabulary.eos, Vocabulary.unk
    has_labels = False

    def __init__(self, corpus: Corpus, config: TrainConfig, steps: int, max_streams: int, tuning: TextTuning) -> None:
        self.corpus, self.tuning = corpus, tuning
        self.ids = corpus.train_ids
        self.steps, self.streams = steps, min(config.batch, max_streams)
        self.local_slice = slice(0, self.streams)
        self.size_message = None
        if (self.steps, self.streams) != (config.bptt, config.batch):
            self.size_message = (
                f"the training text has {len(self.ids) - 1:,} tokens: windows shrunk to {self.streams} x {self.steps} "
                f"(asked for: batch {config.batch}, bptt {config.bptt})"
            )
        self.seed = config.seed
        self.unk_rate = 0.0 if corpus.unknown_rate else min(corpus.unseen_rate, tuning.max_unknown_rate)
        self.window = 0
        self.windows_per_epoch = 1
        self.rng = np.random.default_rng([config.seed, 2])
        self._ordered_epoch = -1
        self._order: Ids = np.zeros(0, np.intp)

    def next(self) -> Batch:
        """Return the next window."""
        epoch, index = divmod(self.window, self.windows_per_epoch)
        batch = self.read(epoch, index)
        self.window += 1
        if self.window % self.tuning.windows_per_release == 0:
            release_pages(self.corpus.ids)
        return batch

    @property
    def symbols_per_window(self) -> float:
        """Mean number of tokens in a window, without padding, for the speed."""
        return self.steps * self.streams

    @abstractmethod
    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch; it may advance the random generator."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the text, JSON-able."""
        return {"window": self.window, "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a position that `state_dict` returned."""
        self.window = state["window"]
        self.rng.bit_generator.state = state["rng"]

    def epoch_rng(self, epoch: int) -> np.random.Generator:
        """Return the generator for values that are drawn once per epoch, such as the order."""
        return np.random.default_rng([self.seed, 3, epoch])

    def order(self, epoch: int) -> Ids:
        """Return the random order of an epoch, drawn once."""
        if epoch != self._ordered_epoch:
            self._ordered_epoch, self._order = epoch, self.draw_order(self.epoch_rng(epoch))
        return self._order

    def draw_order(self, rng: np.random.Generator) -> Ids:
        """Draw the order of an epoch; only classes that call `order` implement it."""
        raise NotImplementedError

    def substitute_unknown(self, inputs: Ids, targets: Ids) -> None:
        """Replace a few tokens by UNK, in place, as targets and as the inputs that follow, so that UNK is learned."""
        size = self.steps * self.streams
        count = self.rng.binomial(size, self.unk_rate) if self.unk_rate else 0
        for index in self.rng.integers(0, size, count):
            t, stream = divmod(int(index), self.streams)
            b = stream - self.local_slice.start
            if 0 <= b < targets.shape[1] and targets[t, b] != self.eos:
                targets[t, b] = self.unk
                if t + 1 < self.steps and inputs[t + 1, b] != self.eos:
                    inputs[t + 1, b] = self.unk


class StreamBatches(Batches):
    """Running text: B streams, each a segment of the text, whose state is carried from window to window.

    In each window some streams are reset: at their first start of a line, the input is EOS instead of the newline
    before it. So the network learns how texts start, and its state has a bounded age.
    In each epoch all segments are shifted by a random offset.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, tuning: TextTuning = DEFAULT_TUNING) -> None:
        pairs = len(corpus.train_ids) - 1
        steps = min(config.bptt, pairs)
        super().__init__(corpus, config, steps, pairs // steps, tuning)
        self.pairs = pairs
        self.segment = pairs // self.streams
        self.windows_per_epoch = max(1, self.segment // steps)
        self.newline = corpus.vocabulary.newline
        self.reset_rate = self.reset_rate_with_newline(config.restart_rate)

    def reset_rate_with_newline(self, rate: float) -> float:
        """Return the probability of a reset in a window with a newline that resets a fraction `rate` of all windows."""
        if self.newline < 0:
            return rate
        newlines = float(np.mean(np.asarray(self.ids[:1_000_000]) == self.newline))
        has_newline = -math.expm1(self.steps * math.log1p(-min(newlines, 1 - 1e-9)))  # 1 - (1 - newlines)^T
        return min(1.0, rate / has_newline) if has_newline else rate

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        offset = int(self.epoch_rng(epoch).integers(self.pairs)) if epoch else 0
        streams = np.arange(self.local_slice.start, self.local_slice.stop)
        firsts = streams * self.segment + index * self.steps + offset  # (B,)
        indices = (firsts + np.arange(self.steps)[:, None]) % self.pairs  # (T, B)
        inputs = self.ids[indices].astype(np.intp)
        targets = self.ids[indices + 1].astype(np.intp)
        jumps = index == 0 and self.newline >= 0  # at the start of an epoch the streams move to other segments
        is_reset = self.rng.random(self.streams) < (1.0 if jumps else self.reset_rate)
        self.reset(inputs, np.flatnonzero(is_reset[self.local_slice]))
        self.substitute_unknown(inputs, targets)
        return Batch(inputs, targets, None)

    def reset(self, inputs: Ids, streams: Ids) -> None:
        """Reset streams, in place, at their first start of a line; at once in a text without newlines."""
        for stream in streams:
            starts = np.flatnonzero(inputs[:, stream] == self.newline)
            if starts.size:
                inputs[starts[0], stream] = self.eos
            elif self.newline < 0:
                inputs[0, stream] = self.eos


BIN = np.dtype([("first", np.int64), ("length", np.int32), ("continues", np.bool_)])
"""A column of a window: index of its first input, number of targets that count, whether it continues a long line."""


class LineBatches(Batches):
    """Lines: each column of a window is filled with whole lines; its remainder has weight 0.

    A line starts after an EOS, which resets the network's state. A line that is longer than a window continues in
    the same column of the next window. The order of the columns is random in each epoch.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, tuning: TextTuning = DEFAULT_TUNING) -> None:
        ends = np.flatnonzero(np.asarray(corpus.train_ids) == self.eos)
        steps = min(config.bptt, int(ends[-1]))
        self.bins = pack(ends, steps)
        super().__init__(corpus, config, steps, len(self.bins), tuning)
        self.windows_per_epoch = -(-len(self.bins) // self.streams)

    def draw_order(self, rng: np.random.Generator) -> Ids:
        """Draw the order of the bins; the bins of a long line stay together."""
        line_of_bin = np.cumsum(~self.bins["continues"]) - 1
        ranks = rng.permutation(int(line_of_bin[-1]) + 1)
        return np.argsort(ranks[line_of_bin], kind="stable")

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        order = self.order(epoch)
        ranks = np.arange(self.local_slice.start, self.local_slice.stop) * self.windows_per_epoch + index
        bins = self.bins[order[np.minimum(ranks, len(order) - 1)]]
        lengths = np.where(ranks < len(order), bins["length"], 0)
        if index == 0:  # the start of a line that continues is in another column
            lengths = np.where(bins["continues"], 0, lengths)
        steps = np.arange(self.steps)[:, None]
        counts = steps < lengths  # (T, B)
        indices = bins["first"] + np.minimum(steps, np.maximum(lengths - 1, 0))
        inputs = np.where(counts, self.ids[indices], self.eos).astype(np.intp)
        targets = np.where(counts, self.ids[indices + 1], self.eos).astype(np.intp)
        self.substitute_unknown(inputs, targets)
        return Batch(inputs, targets, None if counts.all() else counts.astype(np.float32))


def pack(ends: Ids, steps: int) -> npt.NDArray[Any]:
    """Pack lines into columns of `steps`, each with as many whole lines as fit.

    Parameters
    ----------
    ends : ndarray of int, (lines + 1,)
        Indices of the EOS before the first line and after each line.
    steps : int
        T.

    Returns
    -------
    ndarray of BIN
        The columns, in the order of the text.
    """
    bins: list[tuple[int, int, bool]] = []
    line, last = 0, len(ends) - 1
    while line < last:
        start = int(ends[line])
        after = int(np.searchsorted(ends, start + steps, side="right")) - 1  # the first line that does not fit
        if after > line:
            bins.append((start, int(ends[after]) - start, False))
            line = after
        else:
            stop = int(ends[line + 1])
            bins += [(first, min(steps, stop - first), first > start) for first in range(start, stop, steps)]
            line += 1
    return np.array(bins, BIN)
