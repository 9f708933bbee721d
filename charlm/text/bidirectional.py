"""Windows for networks that read from both sides: nothing is carried into them, so they bring their context along.

In such a window some characters are blanks: UNK, in both directions. So the network learns to predict a character
when others around it are missing, too, as `charlm fill` asks it to. A blank is read and does not count.
EOS does not count either: where a text ends is given, not guessed.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.config import TrainConfig
from charlm.text.batches import Batch, Batches, LineBatches
from charlm.text.corpus import Corpus

WITH_BLANKS = 0.5
"""Share of the streams of a window that have blanks."""
MOST_BLANK = 0.3
"""Share of the characters of such a stream that are blank at most."""


def mask_tokens(batch: Batch, batches: Batches) -> Batch:
    """Make characters of a window blank, and say which targets count: neither blanks, nor EOS, nor the last one.

    The characters are changed in place.
    """
    inputs, targets, rng = batch.inputs, batch.targets, batches.rng
    rates = rng.random(batches.streams) * MOST_BLANK * (rng.random(batches.streams) < WITH_BLANKS)
    blank = (rng.random(targets.shape) < rates) & (targets != batches.eos)
    targets[blank] = batches.unk
    next_inputs = inputs[1:]
    next_inputs[blank[:-1] & (next_inputs != batches.eos)] = batches.unk
    counts = ~blank & (targets != batches.eos)
    counts[-1] = False
    weights = counts.astype(np.float32)
    return Batch(inputs, targets, weights if batch.weights is None else weights * batch.weights)


class BidirectionalTextBatches(Batches):
    """Running text: segments in a new random order each epoch, each with a margin on either side.

    A character of the margin is read and does not count. Beyond the ends of the text there is EOS. Some ends of
    lines are made EOS, so that the network learns how texts start and end.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        pairs = len(corpus.train_ids) - 1
        steps = max(2, min(config.bptt, pairs + 1))  # a text that fits needs no margin, but an EOS behind it
        self.margin = steps // 8 if steps <= pairs else 0
        self.own = steps - 1 - 2 * self.margin
        self.segments = -(-pairs // self.own) + (pairs > self.own)  # one more, for they are shifted to the left
        super().__init__(corpus, config, steps, max(1, min(config.batch, self.segments)))
        self.pairs = pairs
        self.windows_per_epoch = max(1, self.segments // self.streams)
        self.restart_rate = config.restart_rate
        newline = corpus.vocabulary.encode("\n")
        self.newline = int(newline[0]) if newline.size and newline[0] != self.unk else -1
        self._epoch = -1
        self._firsts: Ids = np.zeros(0, np.intp)

    def firsts(self, epoch: int) -> Ids:
        """Return where the segments of an epoch begin, in the order in which they are read."""
        if epoch != self._epoch:
            rng = self.epoch_rng(epoch)
            offset = int(rng.integers(self.own)) if self.segments > 1 else 0
            self._firsts = rng.permutation(self.segments) * self.own - offset
            self._epoch = epoch
        return self._firsts

    def next(self) -> Batch:
        """Return the next window."""
        epoch, place = divmod(self.window, self.windows_per_epoch)
        firsts = self.firsts(epoch)[place * self.streams : (place + 1) * self.streams]
        ids, is_text = spread(self.ids, firsts - self.margin, self.steps, self.eos)
        ends = (ids == self.newline) & (self.rng.random(ids.shape) < self.restart_rate)
        ids[ends] = self.eos
        inputs, targets = ids[:-1].copy(), ids[1:].copy()
        self.substitute_unknown(inputs, targets)
        batch = mask_tokens(Batch(inputs, targets, None), self)
        self.count_window()
        inside = np.zeros((self.steps, 1), np.float32)
        inside[self.margin : self.margin + self.own] = 1
        weights: Array = (batch.weights if batch.weights is not None else 1) * inside * is_text[1:]
        return batch._replace(weights=weights)


class BidirectionalLineBatches(LineBatches):
    """Lines, packed as for one direction: an EOS stands on both sides of each."""

    def next(self) -> Batch:
        """Return the next window."""
        return mask_tokens(super().next(), self)


def spread(ids: Ids, firsts: Ids, steps: int, eos: int) -> tuple[Ids, Mask]:
    """Lay out stretches of a text as (steps + 1, B), and say where there is text; beyond its ends is EOS.

    ids: (N + 1,), an EOS first.  firsts: where the stretches begin, (B,), may be outside.
    """
    places = firsts + np.arange(steps + 1)[:, None]
    is_text = (places >= 0) & (places < len(ids))
    safe = np.clip(places, 0, len(ids) - 1)
    return np.where(is_text, np.asarray(ids)[safe], eos).astype(np.intp), is_text


def cut_into_windows(ids: Ids, start: int, own: int = 192, margin: int = 64) -> tuple[Ids, Ids, Mask]:
    """Lay out a held-out text as (T, B) inputs, targets, and whether each target counts: each character once.

    ids: (N + 1,), as for `evaluation.cut_into_streams`.  start: the id that stands before, behind and between texts.
    own, margin: characters of a window that count, and that are read on either side.
    """
    total = len(ids) - 1
    own = min(own, total)
    firsts = np.arange(0, total, own)
    steps = own + 2 * margin + 1
    window, is_text = spread(ids, firsts - margin, steps, start)
    counts = is_text[1:] & (window[1:] != start)
    counts[:margin] = False
    counts[margin + own :] = False
    return window[:-1], window[1:], counts
