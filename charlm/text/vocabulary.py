"""Vocabulary: tokens to ids and back.

Two tokens stand for no character: EOS ends a text and is the context before its first character; UNK stands
for every character that the vocabulary lacks. In a vocabulary of characters their names are longer than one
character, so no text can spell them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import UNITS

EOS, UNK = "<EOS>", "<UNK>"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+|.", re.DOTALL)
"""A word (with inner apostrophes), a number, or any other single character, a space too."""
CODE_POINTS = 0x110000


def split_words(text: str) -> list[str]:
    """Split a text into words, numbers and single other characters; joined, they are the text again.

    >>> split_words("It's 1599.")
    ["It's", ' ', '1599', '.']
    """
    return WORD.findall(text)


def code_points(text: str) -> Ids:
    """Return the code points of a text, (n,); lone surrogates are code points like any other."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Vocabulary:
    """V tokens, each with an id. Immutable.

    tokens: in id order, EOS and UNK first.  unit: "char" or "word".
    Raises ValueError if tokens are not unique strings that fit the unit.

    >>> vocabulary = Vocabulary.build({"a": 3, "b": 1})
    >>> vocabulary.encode("abc").tolist()
    [2, 3, 1]
    """

    eos, unk = 0, 1

    def __init__(self, tokens: Sequence[str], unit: str = "char") -> None:
        self.tokens = tuple(tokens)
        self.unit = unit
        refuse_bad_tokens(self.tokens, unit)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self._characters = self.tokens[2:] if unit == "char" else ()
        points = code_points("".join(self._characters))
        self._shown = np.concatenate((code_points("\0" + REPLACEMENT), points))  # by id; EOS is never shown
        self._table = np.full(int(points.max(initial=0)) + 2, self.unk, np.int32)  # the last entry is for all beyond
        self._table[points] = np.arange(2, 2 + len(points))

    @classmethod
    def build(cls, counts: Mapping[str, int], *, min_count: int = 1, unit: str = "char") -> Vocabulary:
        """Make a vocabulary of the tokens that are counted at least `min_count` times, sorted by code point."""
        kept = sorted(token for token, count in counts.items() if count >= min_count and token not in (EOS, UNK))
        return cls((EOS, UNK, *kept), unit)

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """Return a vocabulary with the new ones among `tokens` behind the old ones, whose ids stay."""
        return Vocabulary((*self.tokens, *sorted(set(tokens) - set(self.tokens))), self.unit)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids and token not in (EOS, UNK)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.unit) == (other.tokens, other.unit)

    def __hash__(self) -> int:
        return hash((self.tokens, self.unit))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} tokens, unit {self.unit!r}>"

    def split(self, text: str) -> Sequence[str]:
        """Split a text into what one id stands for: characters, or words."""
        return text if self.unit == "char" else split_words(text)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, (n,) int32; what is not in the vocabulary is UNK."""
        if self.unit == "char":
            known: Ids = self._table[np.minimum(code_points(text), len(self._table) - 1)]
            return known
        ids = (self._ids.get(word, self.unk) for word in split_words(text))
        return np.fromiter((self.unk if i < 2 else i for i in ids), np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids: EOS is nothing, UNK the replacement character U+FFFD."""
        given = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.intp)
        given = given[given != self.eos]
        if self.unit == "char":
            return str(self._shown[given].tobytes(), "utf-32-le", "surrogatepass")
        shown = ("", REPLACEMENT, *self.tokens[2:])
        return "".join(shown[i] for i in given.tolist())

    def one_hot(self, ids: Ids, dtype: Any = np.float32) -> Array:
        """Return one-hot columns (V, *ids.shape); training never makes them, see `OneHotProjection`."""
        hot = np.zeros((len(self), *np.shape(ids)), dtype)
        np.put_along_axis(hot, np.asarray(ids)[None], 1, axis=0)
        return hot

    def unknown(self, text: str) -> list[int]:
        """Return the places (in tokens) of a text that are not in the vocabulary."""
        places: list[int] = np.flatnonzero(self.encode(text) == self.unk).tolist()
        return places

    def to_json(self) -> dict[str, Any]:
        """Return what a model file keeps of the vocabulary."""
        return {"unit": self.unit, "tokens": list(self.tokens), "eos": self.eos, "unk": self.unk}

    @classmethod
    def from_json(cls, kept: Any) -> Vocabulary:
        """Undo `to_json`.

        Raises ValueError with the reason if `kept` is not such an object.
        """
        if not isinstance(kept, dict):
            raise ValueError("the vocabulary is not an object")
        tokens, unit = kept.get("tokens"), kept.get("unit")
        if unit not in UNITS:
            raise ValueError(f"the vocabulary's unit is {unit!r}")
        if not isinstance(tokens, list):
            raise ValueError("the vocabulary has no list of tokens")
        for name, wanted in (("eos", cls.eos), ("unk", cls.unk)):
            if kept.get(name) != wanted or isinstance(kept.get(name), bool):
                raise ValueError(f"the vocabulary's {name} is {kept.get(name)!r}, not {wanted}")
        return cls(tokens, unit)


class LineVocabulary(Vocabulary):
    """A vocabulary of a model of lines: a newline is encoded as EOS, as it ends one text and starts another.

    >>> LineVocabulary(("<EOS>", "<UNK>", "a")).encode("a\\nb").tolist()
    [2, 0, 1]
    """

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, (n,) int32; a newline is EOS, and what is not in the vocabulary is UNK."""
        ids = super().encode(text)
        if "\n" in text:
            newlines = [piece == "\n" for piece in self.split(text)] if self.unit == "word" else code_points(text) == 10
            ids[newlines] = self.eos
        return ids


def refuse_bad_tokens(tokens: tuple[Any, ...], unit: str) -> None:
    """Raise ValueError unless the tokens make a vocabulary."""
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError("a token is not a string")
    if tokens[:2] != (EOS, UNK):
        raise ValueError(f"the first tokens are not {EOS} and {UNK}")
    if len(set(tokens)) != len(tokens):
        raise ValueError("a token stands twice in the vocabulary")
    if unit == "char" and any(len(token) != 1 for token in tokens[2:]):
        raise ValueError("a token of a vocabulary of characters is not one character")
    if any(token == "" for token in tokens):
        raise ValueError("a token is empty")
