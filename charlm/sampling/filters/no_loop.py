"""Loop control: a penalty on characters that extend a repetition."""

from __future__ import annotations

from copy import copy as shallow_copy

from charlm.arrays import Array
from charlm.config import SampleConfig
from charlm.text.vocabulary import Vocabulary


class NoLoop:
    """Lower the logit of each id that would extend a repetition of the text so far beyond N ids.

    An id is lowered by 1 nat for each id by which the repetition would be longer than N. So a text leaves a loop where
    the model is least sure of it, which is more often between words than inside one. Repetitions of up to N ids, such
    as names and phrases, cost nothing. EOS is never lowered.

    Parameters
    ----------
    config : sets N; 0 changes nothing.
    vocabulary : tells which id is EOS.

    References
    ----------
    The DRY sampler of p-e-w 2024, github.com/oobabooga/text-generation-webui/pull/5677, whose penalty is exponential.
    """

    def __init__(self, config: SampleConfig, vocabulary: Vocabulary) -> None:
        self._limit, self._eos = config.no_loop, vocabulary.eos
        self._ids: list[int] = []
        self._ends: dict[tuple[int, ...], tuple[int, ...]] = {}  # the offsets after each sequence of N ids
        self._matches: dict[int, int] = {}  # an earlier offset -> the number of equal ids before it and here, >= N

    def read(self, token: int) -> None:
        """Read the next id of the text."""
        if self._limit:
            ids, limit = self._ids, self._limit
            self._matches = {end + 1: size + 1 for end, size in self._matches.items() if ids[end] == token}
            ids.append(token)
            if len(ids) >= limit:
                last = tuple(ids[-limit:])
                ends = self._ends.get(last, ())
                self._matches = dict.fromkeys(ends, limit) | self._matches
                self._ends[last] = (*ends, len(ids))

    def copy(self) -> NoLoop:
        """Return an independent filter that has read the same text."""
        other = shallow_copy(self)
        other._ids, other._ends = self._ids.copy(), self._ends.copy()
        return other

    def apply(self, logits: Array) -> None:
        """Lower the logits (V,) of the ids that extend a repetition beyond N."""
        penalties: dict[int, int] = {}
        for end, size in self._matches.items():
            token = self._ids[end]
            penalties[token] = max(penalties.get(token, 0), size + 1 - self._limit)
        penalties.pop(self._eos, None)
        for token, penalty in penalties.items():
            logits[token] -= penalty
