"""Scores of texts and characters: log-probability in nats, bits and perplexity, and the conversions between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlm.arrays import Array, Mask, finite_or_none

NATS_PER_UNIT = {"e": 1.0, "2": math.log(2), "10": math.log(10)}
"""Nats per unit of information, by the base of the logarithm: nat, bit, ban."""
JSON_NAMES = ("text", "characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity")
"""Keys of a score in JSON, in order."""


def in_base(nats: float, base: str) -> float:
    """Convert nats into the unit of `base`, a key of NATS_PER_UNIT."""
    return nats / NATS_PER_UNIT[base]


@dataclass(slots=True)  # not frozen: a frozen instance takes three times as long to create, and there are millions
class Metrics:
    """The log-probability of a number of characters, and the measures derived from it.

    Attributes
    ----------
    characters : number of predicted characters, including the end of a text if it is counted. In a model of words,
        the number of tokens: words, numbers, punctuation marks and spaces.
    unknown : number of characters that are not in the vocabulary and were scored as UNK.
    log_prob : sum of the log-probabilities of all characters, in nats.
    unknown_log_prob : sum of the log-probabilities of the unknown characters, in nats.
    """

    characters: int = 0
    unknown: int = 0
    log_prob: float = 0.0
    unknown_log_prob: float = 0.0

    @property
    def nats_per_char(self) -> float:
        """Cross-entropy in nats per character; nan without characters."""
        return -self.log_prob / self.characters if self.characters else math.nan

    @property
    def bits_per_char(self) -> float:
        """Cross-entropy in bits per character."""
        return in_base(self.nats_per_char, "2")

    @property
    def perplexity(self) -> float:
        """exp(nats per character): the number of equally probable characters with the same uncertainty.

        It is inf beyond the range of a float.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(self.nats_per_char))

    @property
    def known(self) -> Metrics:
        """The metrics of the known characters; unknown characters are read and not counted."""
        return Metrics(self.characters - self.unknown, 0, self.log_prob - self.unknown_log_prob)


@dataclass(slots=True)
class Score(Metrics):
    """The metrics of one text.

    text: as it was given.
    """

    text: str = ""

    @classmethod
    def of(cls, text: str, log_probs: Array, is_unknown: Mask) -> Score:
        """Return the score of a text from the log-probability of each of its N characters.

        log_probs: (N,) in nats.  is_unknown: (N,) whether the character was scored as UNK.
        """
        unknown = log_probs[is_unknown]
        return cls(log_probs.size, unknown.size, float(log_probs.sum()), float(unknown.sum()), text)

    def as_json(self) -> dict[str, Any]:
        """Return the metrics by name, for JSON; None for values that are not finite."""
        return {name: finite_or_none(getattr(self, name)) for name in JSON_NAMES}


@dataclass(slots=True)
class Summary(Metrics):
    """The metrics of several texts together: `Summary() + score + score ...`.

    texts: number of texts.
    """

    texts: int = 0

    def __add__(self, score: Score) -> Summary:
        return Summary(
            self.characters + score.characters,
            self.unknown + score.unknown,
            self.log_prob + score.log_prob,
            self.unknown_log_prob + score.unknown_log_prob,
            self.texts + 1,
        )


@dataclass(frozen=True)
class CharScore:
    """The probability of one character, given everything before it.

    Attributes
    ----------
    character : as it appears in the text; the name of EOS for the end.
    offset : its offset in the text, in code points from 0.
    log_prob : natural logarithm of its probability, in nats.
    rank : 1 plus the number of characters that are more probable.
    alternatives : the most probable other characters with their log-probabilities in nats, the best first; EOS and UNK
        appear by their names.
    is_unknown : whether it is not in the vocabulary and was scored as UNK.
    """

    character: str
    offset: int
    log_prob: float
    rank: int
    alternatives: tuple[tuple[str, float], ...] = ()
    is_unknown: bool = False

    @property
    def probability(self) -> float:
        """p(character | everything before it)."""
        return math.exp(self.log_prob)

    @property
    def surprisal(self) -> float:
        """-ln p in nats."""
        return -self.log_prob

    @property
    def surprisal_bits(self) -> float:
        """-log2 p in bits."""
        return in_base(-self.log_prob, "2")
