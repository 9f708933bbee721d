"""Which windows suit a corpus and a network."""

from __future__ import annotations

from charlm.config import TrainConfig
from charlm.text.batches import Batches, LineBatches, StreamBatches
from charlm.text.bidirectional import BidirectionalLineBatches, BidirectionalTextBatches
from charlm.text.corpus import Corpus


def batches_over(corpus: Corpus, config: TrainConfig, *, bidirectional: bool = False) -> Batches:
    """Return the windows that suit the corpus.

    bidirectional: whether the network reads them from either side.
    """
    if bidirectional:
        return BidirectionalLineBatches(corpus, config) if corpus.lines else BidirectionalTextBatches(corpus, config)
    return LineBatches(corpus, config) if corpus.lines else StreamBatches(corpus, config)
