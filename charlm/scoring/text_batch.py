"""Texts that are scored together, as ids in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids
from charlm.nn.base import NetworkState
from charlm.text.vocabulary import Vocabulary

Indices = npt.NDArray[np.intp]


class TextBatch(NamedTuple):
    """Texts and their ids, one text after another.

    Attributes
    ----------
    texts : as they were given.
    targets : (N,) ids to predict.
    inputs : (N,) the id before each target; the last id of the context before the first target of a text.
    starts : (texts,) index of the first target of each text.
    counts : (texts,) number of targets of each text.
    """

    texts: Sequence[str]
    targets: Ids
    inputs: Ids
    starts: Indices
    counts: Indices

    def sums(self, *values: npt.NDArray[Any]) -> list[list[float]]:
        """Return the sums of each of `values` (N,) over the targets of each text."""
        text_of_target = np.repeat(np.arange(len(self.texts)), self.counts)
        return [np.bincount(text_of_target, each, len(self.texts)).tolist() for each in values]

    def common_prefix_lengths(self, texts: Indices) -> Indices:
        """Return the length of the common prefix of each of `texts` and the previous one, in targets, (texts,)."""
        lengths = np.zeros(texts.size, np.intp)
        starts, counts = self.starts[texts], self.counts[texts]
        limits = np.minimum(counts[1:], counts[:-1])
        depth, equal = 0, np.arange(1, texts.size)  # texts that are equal to the previous one so far
        while equal.size:
            equal = equal[limits[equal - 1] > depth]
            is_equal = self.targets[starts[equal] + depth] == self.targets[starts[equal - 1] + depth]
            equal = equal[is_equal]
            lengths[equal] += 1
            depth += 1
        return lengths


def encode_batch(texts: Sequence[str], vocabulary: Vocabulary, last_id: int, *, end: bool) -> TextBatch:
    """Encode texts as one batch.

    Parameters
    ----------
    last_id : id before the first target of each text.
    end : whether EOS is the last target of each text.
    """
    if vocabulary.unit == "char":  # every character has one id, so that one call encodes all texts
        targets, lengths = vocabulary.encode("".join(texts)), list(map(len, texts))
    else:
        encoded = [vocabulary.encode(text) for text in texts]
        targets, lengths = np.concatenate(encoded), list(map(len, encoded))
    counts = np.array(lengths, np.intp)
    if end:
        targets = np.insert(targets, np.cumsum(counts), vocabulary.eos)
        counts += 1
    starts = np.cumsum(counts) - counts
    inputs = np.roll(targets, 1)
    inputs[starts[counts > 0]] = last_id
    return TextBatch(texts, targets, inputs, starts, counts)


def assign(stored: NetworkState, rows: Indices | slice, state: NetworkState) -> None:
    """Write `state` into the rows `rows` of `stored`, in all arrays of all layers."""
    for stored_layer, layer in zip(stored, state, strict=True):
        for stored_array, array in zip(stored_layer, layer, strict=True):
            stored_array[rows] = array
