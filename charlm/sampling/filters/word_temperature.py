"""A temperature of its own at the start of words."""

from __future__ import annotations

from copy import copy as shallow_copy

from charlm.arrays import Array
from charlm.config import SampleConfig
from charlm.sampling.filters.temperature import LOWEST_TEMPERATURE, temperature
from charlm.text.vocabulary import Vocabulary


class WordTemperature:
    """Replace the temperature where a word starts: after whitespace, and at the start of a text.

    A high temperature there and a low one inside words gives unusual words with sound spelling.

    Parameters
    ----------
    config : sets the temperature, by which the logits are divided already, and the one that replaces it.
    vocabulary : tells which ids are whitespace.
    """

    def __init__(self, config: SampleConfig, vocabulary: Vocabulary) -> None:
        value = config.temperature if config.word_temperature is None else config.word_temperature
        self._ratio = max(value, LOWEST_TEMPERATURE) / max(config.temperature, LOWEST_TEMPERATURE)
        self._tokens, self._eos = vocabulary.tokens, vocabulary.eos
        self._is_start = True

    def read(self, token: int) -> None:
        """Read the next id of the text."""
        self._is_start = token == self._eos or self._tokens[token].isspace()

    def copy(self) -> WordTemperature:
        """Return an independent filter that has read the same text."""
        return shallow_copy(self)

    def apply(self, logits: Array) -> None:
        """Divide the logits (V,) by the ratio of the two temperatures if a word starts here."""
        if self._is_start and self._ratio != 1:
            logits[:] = temperature(logits, self._ratio)
