"""Which windows suit a corpus and a network."""

from __future__ import annotations

from charlm.config import TrainConfig
from charlm.text.batches import Batches, LineBatches, StreamBatches
from charlm.text.both_sides import LonelyLineBatches, SegmentBatches
from charlm.text.corpus import Corpus


def batches_over(corpus: Corpus, config: TrainConfig, *, both_sides: bool = False) -> Batches:
    """Return the windows that suit the corpus.

    both_sides: whether the network reads them from either side.
    """
    if both_sides:
        return LonelyLineBatches(corpus, config) if corpus.lines else SegmentBatches(corpus, config)
    return LineBatches(corpus, config) if corpus.lines else StreamBatches(corpus, config)
