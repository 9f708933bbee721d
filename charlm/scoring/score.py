"""Scores: how probable a text is, in nats, bits and perplexity. All conversions between them stand here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NATS_PER_UNIT = {"e": 1.0, "2": math.log(2), "10": math.log(10)}
"""By the base of the logarithm: one nat, one bit, one ban."""


def in_base(nats: float, base: str) -> float:
    """Convert nats into the unit of `base`, a name in NATS_PER_UNIT."""
    return nats / NATS_PER_UNIT[base]


def nats_to_bits(nats: float) -> float:
    """Convert nats into bits."""
    return in_base(nats, "2")


def perplexity(nats_per_character: float) -> float:
    """Return exp(nats per character): as uncertain as the choice among so many equally probable characters.

    inf where that is more than a float can hold.
    """
    try:
        return math.exp(nats_per_character)
    except OverflowError:
        return math.inf


def per_character(log_prob: float, characters: int) -> float:
    """Return the nats that a character costs; nan where there is none."""
    return -log_prob / characters if characters else math.nan


@dataclass(slots=True)  # there are millions of them: frozen ones take three times as long to make
class Metrics:
    """The log-probability of so many characters, and what follows from it.

    characters: characters that were predicted; the end of a text is one of them where it is counted. In a
    model of words they are its tokens: words, numbers, punctuation marks and spaces.
    unknown: how many of them are outside the vocabulary, and so were scored as UNK.
    log_prob: natural logarithm of the probability of all of them, in nats.
    unknown_log_prob: the part of it that the unknown ones make up.
    """

    characters: int = 0
    unknown: int = 0
    log_prob: float = 0.0
    unknown_log_prob: float = 0.0

    @property
    def nats_per_char(self) -> float:
        """Cross-entropy, in nats per character; nan where nothing was predicted."""
        return per_character(self.log_prob, self.characters)

    @property
    def bits_per_char(self) -> float:
        """Cross-entropy, in bits per character."""
        return nats_to_bits(self.nats_per_char)

    @property
    def perplexity(self) -> float:
        """exp(nats per character)."""
        return perplexity(self.nats_per_char)

    @property
    def known(self) -> Metrics:
        """The figures without the unknown characters: those are read, but not counted."""
        return Metrics(self.characters - self.unknown, 0, self.log_prob - self.unknown_log_prob)


@dataclass(slots=True)
class Score(Metrics):
    """How probable one text is.

    text: as it was given.
    """

    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, for JSON; None for those that are not finite."""
        figures = {
            "text": self.text,
            "characters": self.characters,
            "unknown": self.unknown,
            "log_prob": self.log_prob,
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "perplexity": self.perplexity,
        }
        return {name: _finite(value) for name, value in figures.items()}


@dataclass(slots=True)
class Summary(Metrics):
    """The figures of several texts together: `Summary() + score + score ...`.

    texts: how many.
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
    """How probable one character is, given everything before it.

    character: as it stands in the text; EOS's name for the end.
    offset: its place in the text, in code points from 0.
    log_prob: natural logarithm of its probability, in nats.
    rank: 1 for the most probable character, 2 for the next, ...
    alternatives: the most probable other characters with their log-probabilities, best first; EOS and UNK
    go by their names.
    is_unknown: whether it is outside the vocabulary, and was scored as UNK.
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
        """-ln p, in nats."""
        return -self.log_prob

    @property
    def surprisal_bits(self) -> float:
        """-log2 p, in bits."""
        return nats_to_bits(-self.log_prob)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
