"""Windows of labelled text: tokens as inputs, and the labels of the same positions as targets; or labels as inputs."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Ids, join_ids
from charlm.text.batches import Batch, LineBatches
from charlm.text.bidirectional import BidirectionalTextBatches, gather_windows
from charlm.text.corpus import Corpus
from charlm.text.symbols import NO_LABEL, Symbols
from charlm.text.vocabulary import Vocabulary

EOS, UNK = Vocabulary.eos, Vocabulary.unk


def symbols_of(corpus: Corpus) -> Symbols:
    """Return the tables of a labelled corpus; ValueError if it has none."""
    if corpus.symbols is None:
        raise ValueError("the corpus has no labels")
    return corpus.symbols


def mask_unknown(tokens: Ids, rate: float, rng: np.random.Generator) -> None:
    """Replace a fraction `rate` of the tokens by UNK, in place, so that UNK is learned; their labels stay."""
    if rate:
        tokens[(rng.random(tokens.shape) < rate) & (tokens != EOS)] = UNK


class LabelledTextBatches(BidirectionalTextBatches):
    """Running text: segments in a random order each epoch, each with a margin on both sides."""

    has_labels = True

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        tables = symbols_of(self.corpus)
        firsts = self.order(epoch)[index * self.streams : (index + 1) * self.streams]
        symbols, is_text = gather_windows(self.ids, firsts - self.margin, self.steps)
        tokens, labels = tables.tokens[symbols], tables.labels[symbols]
        ends = (tokens == self.corpus.vocabulary.newline) & (self.rng.random(tokens.shape) < self.reset_rate)
        tokens[ends], labels[ends] = EOS, NO_LABEL
        mask_unknown(tokens, self.unk_rate, self.rng)
        is_inner = np.zeros((self.steps, 1), bool)
        is_inner[self.margin : self.margin + self.inner] = True
        counts = is_inner & is_text[1:] & (labels[1:] != NO_LABEL)
        return Batch(tokens[1:], np.maximum(labels[1:], 0), counts.astype(np.float32))


class LabelledLineBatches(LineBatches):
    """Lines, packed into columns: each is between two EOS."""

    has_labels = True

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        symbols, _, weights = super().read(epoch, index)
        is_text = np.ones(symbols.shape, bool) if weights is None else weights > 0
        tokens, targets, counts = symbols_of(self.corpus).windows(symbols, is_text)
        mask_unknown(tokens, self.unk_rate, self.rng)
        return Batch(tokens, targets, counts.astype(np.float32))

    def substitute_unknown(self, inputs: Ids, targets: Ids) -> None:
        """Do nothing: `read` replaces tokens, and the ids here are symbols."""


class ConditionedLineBatches(LineBatches):
    """Lines of a corpus with `conditions`: the inputs are tokens with the label of their line, see `join_ids`."""

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window of an epoch."""
        tables = self.corpus.conditions
        assert tables is not None
        symbols, following, weights = super().read(epoch, index)
        tokens, targets, labels = tables.split(symbols, following)
        super().substitute_unknown(tokens, targets)
        return Batch(join_ids(tokens, np.maximum(labels, 0), tables.size), targets, weights)

    def substitute_unknown(self, inputs: Ids, targets: Ids) -> None:
        """Do nothing: `read` replaces tokens, and the ids here are symbols."""
