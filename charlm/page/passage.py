"""The part of a text that a page shows, and the part on which it ranks cells."""

from __future__ import annotations

from dataclasses import dataclass

from charlm.checks import check_value, integer_rule
from charlm.errors import EmptyCorpusError

MAX_LENGTH = 10_000
"""Characters that a page shows, at most; a browser becomes slow with many more."""


@dataclass(frozen=True)
class Passage:
    """A part of a text. The model reads it from its first character on, with EOS before it.

    Attributes
    ----------
    text : str
        The part on which cells are ranked.
    start : int
        Offset of the part in the whole text, in characters.
    length : int
        Characters of the part that are shown, from its first one on.
    is_cut : bool
        Whether the whole text has characters that are not shown.
    """

    text: str
    start: int
    length: int
    is_cut: bool

    @property
    def shown(self) -> str:
        """The text that is shown."""
        return self.text[: self.length]


def take_passage(text: str, *, start: int, length: int, limit: int) -> Passage:
    """Return a part of a text.

    Parameters
    ----------
    text : str
        The whole text, or its beginning, with one character more than is needed to know that there are more.
    start : int
        Offset of the first character, 0 or more.
    length : int
        Characters to show, 1 to MAX_LENGTH.
    limit : int
        Characters on which cells are ranked; at least `length` are used.

    Raises
    ------
    ConfigError
        A number is out of its range.
    EmptyCorpusError
        There is no character at `start`.
    """
    check_value("start", start, integer_rule(0))
    check_value("length", length, integer_rule(1, MAX_LENGTH))
    check_value("limit", limit, integer_rule(1))
    needed = start + max(length, limit)
    if len(text) <= start:
        raise EmptyCorpusError(f"the text has {len(text):,} characters, so none at {start:,}; `start` is the first one")
    is_cut = start > 0 or len(text) > start + length
    return Passage(text[start:needed], start, min(length, len(text) - start), is_cut)
