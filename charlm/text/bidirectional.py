"""Windows of bidirectional networks. No state is carried into them, so each contains its context on both sides.

Some tokens of a window are masked: UNK, for both directions. So the network learns to predict a character when others
near it are missing, as `charlm fill` requires. A masked token is read and has no weight in the loss. EOS has none
either, because the end of a text is given, not predicted.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.config import TrainConfig
from charlm.text.batches import Batch, Batches, LineBatches
from charlm.text.corpus import Corpus
from charlm.text.tuning import DEFAULT_TUNING, TextTuning
from charlm.text.vocabulary import Vocabulary

EOS, UNK = Vocabulary.eos, Vocabulary.unk


def mask_tokens(batch: Batch, rng: np.random.Generator, tuning: TextTuning) -> Batch:
    """Mask tokens of a window, in place, and return it with weights.

    Parameters
    ----------
    batch : Batch
        The window, (T, B).
    rng : Generator
        Draws the masked tokens.
    tuning : TextTuning
        The fraction of streams and of tokens that are masked.

    Returns
    -------
    Batch
        The window; masked targets, EOS and the last target of each stream have weight 0.
    """
    inputs, targets, weights = batch
    streams = targets.shape[1]
    rates = rng.random(streams) * tuning.max_masked_rate * (rng.random(streams) < tuning.masked_streams)
    masked = (rng.random(targets.shape) < rates) & (targets != EOS)
    targets[masked] = UNK
    next_inputs = inputs[1:]
    next_inputs[masked[:-1] & (next_inputs != EOS)] = UNK
    counts = ~masked & (targets != EOS)
    counts[-1] = False
    return Batch(inputs, targets, counts.astype(np.float32) if weights is None else counts * weights)


class BidirectionalTextBatches(Batches):
    """Running text: segments in a random order each epoch, each with a margin on both sides.

    A margin is read and has no weight. Beyond the ends of the text there is EOS. Some newlines are replaced by EOS, so
    that the network learns how texts start and end.
    """

    def __init__(self, corpus: Corpus, config: TrainConfig, tuning: TextTuning = DEFAULT_TUNING) -> None:
        pairs = len(corpus.train_ids) - 1
        steps = max(2, min(config.bptt, pairs + 1))  # a text that fits needs no margin, only an EOS after it
        self.margin = steps // 8 if steps <= pairs else 0
        self.inner = steps - 1 - 2 * self.margin  # targets of a window that count
        self.segments = -(-pairs // self.inner) + (pairs > self.inner)  # one more, as they are shifted to the left
        super().__init__(corpus, config, steps, self.segments, tuning)
        self.windows_per_epoch = max(1, self.segments // self.streams)
        self.reset_rate = config.restart_rate

    def draw_order(self, rng: np.random.Generator) -> Ids:
        """Draw the first index of each segment of an epoch, in the order in which they are read."""
        offset = int(rng.integers(self.inner)) if self.segments > 1 else 0
        return rng.permutation(self.segments) * self.inner - offset

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        firsts = self.order(epoch)[index * self.streams : (index + 1) * self.streams]
        ids, is_text = gather_windows(self.ids, firsts - self.margin, self.steps)
        ends = (ids == self.corpus.vocabulary.newline) & (self.rng.random(ids.shape) < self.reset_rate)
        ids[ends] = EOS
        inputs, targets = ids[:-1].copy(), ids[1:].copy()
        self.substitute_unknown(inputs, targets)
        is_inner = np.zeros((self.steps, 1), np.float32)
        is_inner[self.margin : self.margin + self.inner] = 1
        weights: Array = is_inner * is_text[1:]
        return mask_tokens(Batch(inputs, targets, weights), self.rng, self.tuning)


class BidirectionalLineBatches(LineBatches):
    """Lines, packed as for one direction: each is between two EOS."""

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        return mask_tokens(super().read(epoch, index), self.rng, self.tuning)


def gather_windows(ids: Ids, firsts: Ids, steps: int) -> tuple[Ids, Mask]:
    """Lay out parts of a text side by side, with EOS beyond its ends.

    Parameters
    ----------
    ids : ndarray of int, (N + 1,)
        EOS and the text.
    firsts : ndarray of int, (B,)
        Index of the first id of each part; may be outside of the text.
    steps : int
        T.

    Returns
    -------
    windows : ndarray of intp, (T + 1, B)
        The ids.
    is_text : ndarray of bool, (T + 1, B)
        Whether each is inside the text.
    """
    indices = firsts + np.arange(steps + 1)[:, None]
    is_text = (indices >= 0) & (indices < len(ids))
    inside = np.clip(indices, 0, len(ids) - 1)
    return np.where(is_text, np.asarray(ids)[inside], EOS).astype(np.intp), is_text


def cut_into_windows(ids: Ids, inner: int = 192, margin: int = 64) -> tuple[Ids, Ids, Mask]:
    """Lay out a text for evaluation, so that each character counts once, in its context.

    Parameters
    ----------
    ids : ndarray of int, (N + 1,)
        EOS before, after and between texts.
    inner : int
        Targets of a window that count, (default: 192).
    margin : int
        Further characters that are read on both sides, (default: 64).

    Returns
    -------
    inputs, targets : ndarray of intp, (T, B)
        The windows.
    counts : ndarray of bool, (T, B)
        Whether each target counts; EOS does not.
    """
    total = len(ids) - 1
    inner = min(inner, total)
    windows, is_text = gather_windows(ids, np.arange(0, total, inner) - margin, inner + 2 * margin + 1)
    counts = is_text[1:] & (windows[1:] != EOS)
    counts[:margin] = False
    counts[margin + inner :] = False
    return windows[:-1], windows[1:], counts
