"""A limit on runs of characters that are copies of the training text."""

from __future__ import annotations

from collections import deque
from copy import copy as shallow_copy

import numpy as np

from charlm.arrays import Array
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.text.ngrams import BASE, MASK, character_values, power
from charlm.text.vocabulary import Vocabulary


class NoCopy:
    """Exclude each character that would make a run longer than the limit which the training text has, too.

    A run may start in the prompt. EOS starts a new one, and is never excluded.

    Parameters
    ----------
    config : sets the index of the training text.
    vocabulary : of characters.
    """

    def __init__(self, config: SampleConfig, vocabulary: Vocabulary) -> None:
        if vocabulary.unit != "char":
            raise ConfigError("this model draws words; copies are limited character by character only")
        self._index = config.max_copy
        self._limit = self._index.limit if self._index else 0
        # the value of EOS and UNK is that of no character, so that no run with one of them is a copy
        self._values = np.concatenate((np.zeros(2, np.uint64), character_values("".join(vocabulary.tokens[2:]))))
        self._oldest = int(power(self._limit))
        self._ids: deque[int] = deque(maxlen=self._limit)  # the last ones
        self._hash = 0  # of their characters

    def read(self, token: int) -> None:
        """Read the next id of the text."""
        self._hash = self._hash * BASE + self._values.item(token)
        if self._ids and len(self._ids) == self._limit:
            self._hash -= self._values.item(self._ids[0]) * self._oldest
        self._hash &= MASK
        self._ids.append(token)

    def copy(self) -> NoCopy:
        """Return an independent filter that has read the same text."""
        other = shallow_copy(self)
        other._ids = self._ids.copy()
        return other

    def apply(self, logits: Array) -> None:
        """Exclude characters, (V,), in place; ConfigError if none is left."""
        if self._index is None or len(self._ids) < self._limit:
            return
        is_copy = self._index.contains(np.uint64(self._hash * BASE & MASK) + self._values)
        if not np.isfinite(logits[~is_copy]).any():
            raise ConfigError(f"every next character makes a copy of more than {self._limit:,}; raise `max_copy`")
        logits[is_copy] = -np.inf
