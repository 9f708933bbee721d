"""An index of the substrings of a training text, which tells while a text is drawn whether it becomes a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike

import numpy as np

from charlm.arrays import Mask
from charlm.checks import check_value, integer_rule
from charlm.config import TextConfig
from charlm.text.copies import joined
from charlm.text.ngrams import Hashes, character_values, ngram_hashes
from charlm.text.reading import read_chunks
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

MIN_LIMIT = 5
"""Limit below which texts could hardly be continued."""


class CopyIndex:
    """The substrings of training texts that are one character longer than a limit, as hashes of 8 bytes.

    `model.sample(max_copy=index)` draws texts without such a substring, so no run of more than `limit` characters is a
    copy.

    Parameters
    ----------
    limit : int
        Length of the longest run that a text may share with the training texts, 5 or more.
    hashes : array of uint64
        Sorted.

    Examples
    --------
    >>> index = CopyIndex.read("corpus.txt", 30)  # doctest: +SKIP
    >>> load("charlm.safetensors").sample(max_copy=index)  # doctest: +SKIP
    """

    def __init__(self, limit: int, hashes: Hashes) -> None:
        self.limit, self._hashes = limit, hashes

    @classmethod
    def read(
        cls, paths: str | PathLike[str] | Sequence[str | PathLike[str]], limit: int, config: TextConfig | None = None
    ) -> CopyIndex:
        """Read training texts.

        Parameters
        ----------
        paths : path or sequence of paths
        limit : int
            Length of the longest run that a text may share with them, 5 or more.
        config : TextConfig, optional
            Encoding and normal form of the files.

        Raises
        ------
        CorpusError
            If a file cannot be read.
        """
        check_value("limit", limit, integer_rule(MIN_LIMIT))
        files = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
        parts = [part for path in files for part in hashes_of(path, limit + 1, config or TextConfig())]
        return cls(limit, np.unique(np.concatenate([np.zeros(0, np.uint64), *parts])))

    def contains(self, hashes: Hashes) -> Mask:
        """Return which hashes, (n,), are those of substrings of `limit` + 1 characters."""
        if not self._hashes.size:
            return np.zeros(len(hashes), bool)
        places = np.minimum(np.searchsorted(self._hashes, hashes), self._hashes.size - 1)
        found: Mask = self._hashes[places] == hashes
        return found


def hashes_of(
    path: str | PathLike[str], n: int, config: TextConfig, tuning: TextTuning = DEFAULT_TUNING
) -> Iterator[Hashes]:
    """Yield the hashes of the n-grams of a file, those of a chunk at a time, sorted."""
    kept: Hashes = np.zeros(0, np.uint64)
    for text in joined(read_chunks(path, config), tuning.copy_chunk_characters):
        values = np.concatenate((kept, character_values(text)))
        if len(values) >= n:
            yield np.unique(ngram_hashes(values, n))
        kept = values[len(values) - min(len(values), n - 1) :]
