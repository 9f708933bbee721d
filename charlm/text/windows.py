"""The kind of windows for a corpus and a network."""

from __future__ import annotations

from charlm.config import TrainConfig
from charlm.text.batches import Batches, LineBatches, StreamBatches
from charlm.text.bidirectional import BidirectionalLineBatches, BidirectionalTextBatches
from charlm.text.corpus import Corpus
from charlm.text.labelled import ConditionedLineBatches, LabelledLineBatches, LabelledTextBatches
from charlm.text.pairs import PairBatches


def batches_over(corpus: Corpus, config: TrainConfig, *, bidirectional: bool = False) -> Batches:
    """Return the windows of a corpus, for a network that reads it in one direction or in both."""
    if corpus.symbols is not None and corpus.symbols.has_targets:
        return PairBatches(corpus, config)
    if corpus.symbols is not None:
        return LabelledLineBatches(corpus, config) if corpus.lines else LabelledTextBatches(corpus, config)
    if corpus.conditions is not None:
        return ConditionedLineBatches(corpus, config)
    if bidirectional:
        return BidirectionalLineBatches(corpus, config) if corpus.lines else BidirectionalTextBatches(corpus, config)
    return LineBatches(corpus, config) if corpus.lines else StreamBatches(corpus, config)
