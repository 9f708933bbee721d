"""Scores of texts and characters: log-probability in nats, bits and perplexity, and the conversions between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from charlm.arrays import Array, Mask, finite_or_none
from charlm.errors import ConfigError
from charlm.scoring.heat_map import heat_map_html
from charlm.text.quoting import quoted
from charlm.text.vocabulary import EOS, Vocabulary, split_text

NATS_PER_UNIT = {"e": 1.0, "2": math.log(2), "10": math.log(10)}
"""Nats per unit of information, by the base of the logarithm: nat, bit, ban."""
JSON_NAMES = ("text", "characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity")
"""Keys of a score in JSON, in order."""


def in_base(nats: float, base: str) -> float:
    """Convert nats into the unit of `base`, a key of NATS_PER_UNIT."""
    return nats / NATS_PER_UNIT[base]


@dataclass(slots=True, repr=False)  # not frozen, which would take three times as long to create millions
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.measures()}>"

    def measures(self, unit: str = "char") -> str:
        """Return the number of characters, or words, and the measures in one line."""
        name = "characters" if unit == "char" else "tokens"
        unknown = f" ({self.unknown:,} unknown)" if self.unknown else ""
        counts = f"{self.characters:,} {name}{unknown}"
        if not self.characters:
            return counts
        return (
            f"{counts}, {self.nats_per_char:.4g} nats/{unit}, {self.bits_per_char:.4g} bits/{unit}, "
            f"perplexity {self.perplexity:.4g}"
        )

    @property
    def known(self) -> Metrics:
        """The metrics of the known characters; unknown characters are read and not counted."""
        return Metrics(self.characters - self.unknown, 0, self.log_prob - self.unknown_log_prob)


@dataclass(slots=True, repr=False)
class Score(Metrics):
    """The metrics of one text, and a sequence of its characters: pairs of a character and its log-probability.

    A notebook shows the text as a heat map. The scores of many texts have the metrics alone.

    Attributes
    ----------
    text : the text, normalized like the training text of the model.
    unit : "char" or "word".
    spaces_apart : see `Vocabulary`.
    log_probs : log-probability of each character in nats, (N,), and of EOS if the end is counted; 0 for the ends of
        lines in a pseudo-log-likelihood, which does not count them. None in a score of many texts.

    Examples
    --------
    >>> score = load("names.safetensors").score("Velocisaurus")  # doctest: +SKIP
    >>> score.bits_per_char, len(score), score[0], max(score, key=lambda pair: -pair[1])  # doctest: +SKIP
    """

    text: str = ""
    unit: str = "char"
    spaces_apart: bool = False
    log_probs: Array | None = field(default=None, compare=False)

    @classmethod
    def of(cls, text: str, log_probs: Array, is_unknown: Mask, vocabulary: Vocabulary) -> Score:
        """Return the score of a text from the log-probability of each of its N characters.

        log_probs: (N,) in nats.  is_unknown: (N,) whether the character was scored as UNK.
        vocabulary: splits the text.
        """
        unknown, total = log_probs[is_unknown], float(log_probs.sum())
        unit, apart = vocabulary.unit, vocabulary.spaces_apart
        return cls(log_probs.size, unknown.size, total, float(unknown.sum()), text, unit, apart, log_probs)

    @property
    def tokens(self) -> list[str]:
        """The characters, or words, of `log_probs`; the name of EOS at the end if it is counted."""
        return [*split_text(self.text, self.unit, spaces_apart=self.spaces_apart), EOS][: len(self)]

    def words(self) -> list[tuple[str, float]]:
        """Return the words with their log-probabilities in nats, the sums of those of their characters.

        A word is what is between two spaces, with the whitespace before it: " fox," is one. Joined, the words are the
        text, and their log-probabilities sum to that of the text. EOS is a word if the end is counted.
        """
        words: list[tuple[str, float]] = []
        is_open = False  # whether the last word has no character that ends it yet
        for index, (token, log_prob) in enumerate(self):
            is_end = index == len(self) - 1 and token == EOS
            if words and not is_end and (is_open or not token[:1].isspace()):
                words[-1] = (words[-1][0] + token, words[-1][1] + log_prob)
            else:
                words.append((token, log_prob))
            is_open = token.isspace()
        return words

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._characters())

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.tokens, self._characters().tolist(), strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, float]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, float] | list[tuple[str, float]]:
        return list(self)[index]

    def _characters(self) -> Array:
        """Return `log_probs`; ConfigError if there are none."""
        if self.log_probs is None:
            raise ConfigError("a score of many texts has no characters; compute it with `score` for one text")
        return self.log_probs

    def __repr__(self) -> str:
        return f"<Score {quoted(self.text)}, {self.measures(self.unit)}>"

    def _repr_html_(self) -> str | None:
        return None if self.log_probs is None else heat_map_html(self, self.measures(self.unit))

    def as_json(self) -> dict[str, Any]:
        """Return the metrics by name, for JSON; None for values that are not finite."""
        return {name: finite_or_none(getattr(self, name)) for name in JSON_NAMES}


@dataclass(slots=True, repr=False)
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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        unknown = ", unknown" * self.is_unknown
        return (
            f"<CharScore {self.character!r}, probability {self.probability:.3g}, {self.surprisal_bits:.3g} bits, "
            f"rank {self.rank}{unknown}>"
        )

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
