"""Vocabulary: tokens to ids and back.

Two tokens are not text: EOS ends a text and is the context of its first token; UNK replaces every token that the
vocabulary lacks. In a vocabulary of characters their names are longer than one character, so no text can spell them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import UNITS
from charlm.errors import UnknownCharacterError
from charlm.text.position import line_and_column

EOS, UNK = "<EOS>", "<UNK>"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LETTERS = r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*"
"""A word, with inner apostrophes."""
WORD = re.compile(rf" ?(?:{LETTERS}|\d+|\S)|.", re.DOTALL)
"""A word, a number or any other visible character, with the space before it; or other white space."""
WORD_WITHOUT_SPACE = re.compile(rf"{LETTERS}|\d+|.", re.DOTALL)
"""A word, a number, or any other single character, a space too: the tokens of old models of words."""
TO_LAST_WORD_BORDER = re.compile(r".*(?=\s)", re.DOTALL)
"""Matches a text up to its last white space, which starts a token whatever its neighbours are."""


def split_words(text: str, *, spaces_apart: bool = False) -> list[str]:
    """Split a text into words, numbers and single other characters; joined, they are the text again.

    A space belongs to the token that follows, or with `spaces_apart` it is a token.

    >>> split_words("It's 1599.")
    ["It's", ' 1599', '.']
    """
    return (WORD_WITHOUT_SPACE if spaces_apart else WORD).findall(text)


def split_text(text: str, unit: str, *, spaces_apart: bool = False) -> Sequence[str]:
    """Split a text into tokens of a unit: characters, or words."""
    return text if unit == "char" else split_words(text, spaces_apart=spaces_apart)


def code_points(text: str) -> Ids:
    """Return the code points of a text, (n,); lone surrogates are code points like any other."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Vocabulary:
    """V tokens, each with an id. Immutable.

    Parameters
    ----------
    tokens : sequence of str
        The tokens in the order of their ids; EOS and UNK come first.
    unit : {"char", "word"}
        What a token is.

    Attributes
    ----------
    spaces_apart : bool
        Whether a space before a word is a token by itself, as in old models of words.

    Raises
    ------
    ValueError
        The tokens are not unique strings that fit the unit.

    Examples
    --------
    >>> vocabulary = Vocabulary.build({"a": 3, "b": 1})
    >>> vocabulary.encode("abc").tolist()
    [2, 3, 1]
    """

    eos, unk = 0, 1
    never_drawn: tuple[int, ...] = (unk,)
    """Ids that no text contains, so that sampling excludes them."""

    def __init__(self, tokens: Sequence[str], unit: str = "char") -> None:
        self.tokens = tuple(tokens)
        self.unit = unit
        check_tokens(self.tokens, unit)
        self.spaces_apart = unit == "word" and " " in tokens and not any(re.match(r" \S", token) for token in tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens[2:], 2)}
        points = code_points("".join(self.tokens[2:]) if unit == "char" else "")
        self._decoded = np.concatenate((code_points("\0" + REPLACEMENT), points))  # by id; EOS is never decoded
        self._table = np.full(int(points.max(initial=ord("\n"))) + 2, self.unk, np.int32)  # the last entry: all others
        self._table[points] = np.arange(2, 2 + len(points))

    @classmethod
    def build(cls, counts: Mapping[str, int], *, min_count: int = 1, unit: str = "char") -> Vocabulary:
        """Return the vocabulary of the tokens with a count of at least `min_count`, sorted by code point."""
        frequent = sorted(token for token, count in counts.items() if count >= min_count and token not in (EOS, UNK))
        return cls((EOS, UNK, *frequent), unit)

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """Return a vocabulary with the new ones among `tokens` appended, sorted; the ids of the old ones stay."""
        return Vocabulary((*self.tokens, *sorted(set(tokens) - set(self.tokens))), self.unit)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.tokens, self.unit) == (other.tokens, other.unit)

    def __hash__(self) -> int:
        return hash((self.tokens, self.unit))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} tokens, unit {self.unit!r}>"

    @cached_property
    def newline(self) -> int:
        """The id of the newline, -1 if it is not a token."""
        return self._ids.get("\n", -1)

    def split(self, text: str) -> Sequence[str]:
        """Split a text into tokens: characters, or words."""
        return split_text(text, self.unit, spaces_apart=self.spaces_apart)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, (n,) int32; a token that is not in the vocabulary is UNK.

        A word that is known only after a space, such as one that starts no line, is read as if it followed a space.
        """
        if self.unit == "char":
            known: Ids = self._table[np.minimum(code_points(text), len(self._table) - 1)]
            return known
        tokens = [token if token in self._ids else f" {token}" for token in self.split(text)]
        return self.ids(tokens)

    def ids(self, tokens: Sequence[str]) -> Ids:
        """Return the ids of tokens, (n,) int32."""
        return np.fromiter((self._ids.get(token, self.unk) for token in tokens), np.int32, len(tokens))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids: EOS is nothing, UNK the replacement character U+FFFD."""
        given = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.intp)
        given = given[given != self.eos]
        if self.unit == "char":
            return str(self._decoded[given].tobytes(), "utf-32-le", "surrogatepass")
        words = ("", REPLACEMENT, *self.tokens[2:])
        return "".join(words[i] for i in given.tolist())

    def without_open_space(self, prompt: str) -> str:
        """Return a prompt without a space at its end if that belongs to the word that follows."""
        return prompt.removesuffix(" ") if self.unit == "word" and not self.spaces_apart else prompt

    def one_hot(self, ids: Ids, dtype: Any = np.float32) -> Array:
        """Return one-hot columns (V, *ids.shape). Training gathers columns instead, see `OneHotProjection`."""
        hot = np.zeros((len(self), *np.shape(ids)), dtype)
        np.put_along_axis(hot, np.asarray(ids)[None], 1, axis=0)
        return hot

    def unknown(self, text: str) -> list[int]:
        """Return the positions, in tokens, of the tokens of a text that are not in the vocabulary."""
        positions: list[int] = np.flatnonzero(self.encode(text) == self.unk).tolist()
        return positions

    def refuse_unknown(self, text: str) -> None:
        """Raise UnknownCharacterError, with line and column, if a token of a text is not in the vocabulary."""
        unknown = self.unknown(text)
        if unknown:
            tokens = self.split(text)
            line, column = line_and_column(text, sum(map(len, tokens[: unknown[0]])))
            raise UnknownCharacterError(
                f"line {line}, column {column}: {tokens[unknown[0]]!r} is not in the model's vocabulary "
                f"({len(unknown):,} of {len(tokens):,} are not)"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the vocabulary as a JSON object."""
        return {"unit": self.unit, "tokens": list(self.tokens), "eos": self.eos, "unk": self.unk}

    @classmethod
    def from_json(cls, content: Any) -> Vocabulary:
        """Return the vocabulary that `to_json` wrote; ValueError with the reason if it is not a vocabulary."""
        if not isinstance(content, dict):
            raise ValueError("the vocabulary is not an object")
        tokens, unit = content.get("tokens"), content.get("unit")
        if unit not in UNITS:
            raise ValueError(f"the vocabulary's unit is {unit!r}")
        if not isinstance(tokens, list):
            raise ValueError("the vocabulary has no list of tokens")
        for name, expected in (("eos", cls.eos), ("unk", cls.unk)):
            if content.get(name) != expected or isinstance(content.get(name), bool):
                raise ValueError(f"the vocabulary's {name} is {content.get(name)!r}, not {expected}")
        return cls(tokens, unit)


class LineVocabulary(Vocabulary):
    """A vocabulary that encodes a newline as EOS: in a model of lines it ends one text and starts the next.

    A model that was fine-tuned from running text still has the newline as a token. It is never drawn.

    >>> LineVocabulary(("<EOS>", "<UNK>", "a")).encode("a\\nb").tolist()
    [2, 0, 1]
    """

    def __init__(self, tokens: Sequence[str], unit: str = "char") -> None:
        super().__init__(tokens, unit)
        if "\n" in self._ids:
            self.never_drawn = (self.unk, self._ids["\n"])
        self._ids["\n"] = self._table[ord("\n")] = self.eos


def check_tokens(tokens: tuple[Any, ...], unit: str) -> None:
    """Raise ValueError unless the tokens make a vocabulary."""
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError("a token is not a string")
    if tokens[:2] != (EOS, UNK):
        raise ValueError(f"the first tokens are not {EOS} and {UNK}")
    if len(set(tokens)) != len(tokens):
        raise ValueError("a token occurs twice in the vocabulary")
    if unit == "char" and any(len(token) != 1 for token in tokens[2:]):
        raise ValueError("a token of a vocabulary of characters is not one character")
    if "" in tokens:
        raise ValueError("a token is empty")
