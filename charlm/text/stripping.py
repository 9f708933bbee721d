"""Remove marks, case, spaces or punctuation from a text, and describe what was removed, character by character.

A unit is a character that stays, together with the removed characters that follow it. The label of a unit says what
its one remaining character stood for: "e" for "é", "E", "e " or "É, ". Each character is stripped by itself, so that
stripping two texts and joining them is stripping the joined text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from charlm.errors import ConfigError

KINDS = ("marks", "case", "spaces", "punctuation")
"""What can be removed."""
NOT_PUNCTUATION = frozenset("'\u2019@#%&*/\\\u00b7\u2020\u2021\u00a7\u00b6")
"""Punctuation by Unicode that belongs to words, addresses and formulas."""
PUNCTUATION = frozenset(("Po", "Ps", "Pe", "Pi", "Pf"))
"""Unicode categories of punctuation; dashes and underscores are not removed."""
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")
"""Scripts with letters that Unicode does not decompose, and names by the pattern "LETTER WITH MARK"."""
DOTLESS = {"\u0131": "i", "\u0237": "j"}
"""Letters without their dot."""


class Label(NamedTuple):
    """What the character of a unit stood for.

    Attributes
    ----------
    is_upper : bool
        Whether it was a capital letter.
    variant : str
        Another letter in its place, in lower case, such as "ł" for "l"; empty for the same.
    marks : str
        Combining marks on it, decomposed.
    trailing : str
        Removed spaces and punctuation after it.
    """

    is_upper: bool = False
    variant: str = ""
    marks: str = ""
    trailing: str = ""

    def __str__(self) -> str:
        return f"{'^' * self.is_upper}|{self.variant}|{self.marks}|{self.trailing}"

    @classmethod
    def parse(cls, text: str) -> Label:
        """Return the label that `str` wrote; ValueError if it is not one."""
        upper, variant, marks, trailing = text.split("|", 3)
        return cls(bool(upper), variant, marks, trailing)


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark that takes no space of its own."""
    return unicodedata.category(character) == "Mn"


@cache
def without_marks(character: str) -> str:
    """Return the base letter of a character; the character itself if it has no mark, or not one base."""
    if character in DOTLESS:
        return DOTLESS[character]
    base = unicodedata.normalize("NFC", "".join(c for c in unicodedata.normalize("NFD", character) if not is_mark(c)))
    if base != unicodedata.normalize("NFC", character):
        return without_marks(base) if len(base) == 1 else character
    name, _, mark = unicodedata.name(character, "").partition(" WITH ")
    if mark and " LETTER " not in mark and name.startswith(SCRIPTS) and " LETTER " in name:
        try:
            return without_marks(unicodedata.lookup(name))
        except KeyError:
            return character
    return character


def without_case(character: str) -> str:
    """Return the small letter of a capital, if that is one character with this capital."""
    lower = character.lower()
    return lower if len(lower) == 1 and lower.upper() == character else character


class Stripper:
    """Removes some kinds of characters and properties from texts.

    Parameters
    ----------
    kinds : iterable of str
        Some of KINDS.

    Examples
    --------
    >>> Stripper(["marks", "case", "spaces"]).strip("Žlutý kůň, 1x")
    'zlutykun,1x'
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self.kinds = frozenset(kinds)
        self._table: dict[str, str] = {}

    @classmethod
    def of(cls, kinds: str) -> Stripper:
        """Return the stripper for kinds as a setting has them, such as "marks,case"; ConfigError if one is unknown."""
        names = [kind.strip() for kind in kinds.split(",")]
        for name in names:
            if name not in KINDS:
                raise ConfigError(f"`remove` is {kinds!r}; expected one or more of {', '.join(KINDS)}, with commas")
        return cls(names)

    def is_removed(self, character: str) -> bool:
        """Return whether a character is removed as a whole."""
        return self.strip_character(character) == ""

    def strip_character(self, character: str) -> str:
        """Return what is left of a character: one character or none."""
        found = self._table.get(character)
        if found is None:
            found = self._table[character] = self._strip(character)
        return found

    def _strip(self, character: str) -> str:
        kinds = self.kinds
        if "marks" in kinds:
            if is_mark(character):
                return ""
            character = without_marks(character)
        if "case" in kinds:
            small = without_case(character)
            character = without_marks(small) if "marks" in kinds else small
        is_gone = character == " " and "spaces" in kinds
        if "punctuation" in kinds and character not in NOT_PUNCTUATION:
            is_gone = is_gone or unicodedata.category(character) in PUNCTUATION
        return "" if is_gone else character

    def strip(self, text: str) -> str:
        """Return a text without what is removed."""
        return "".join(map(self.strip_character, text))

    def units(self, text: str) -> list[str]:
        """Split a text into units; joined, they are the text. Only the first may have no character that stays."""
        removed = "".join(re.escape(c) for c in sorted(set(text)) if self.is_removed(c))
        if not removed:
            return list(text)
        return re.findall(f"^[{removed}]+|[^{removed}][{removed}]*", text)

    def label(self, unit: str) -> Label:
        """Return the label of a unit whose first character stays."""
        character, rest = unit[0], unit[1:]
        marks = rest[: len(rest) - len(rest.lstrip("".join(filter(is_mark, set(rest)))))] if rest else ""
        trailing = rest[len(marks) :]
        base = without_marks(character) if "marks" in self.kinds else character
        is_upper = "case" in self.kinds and without_case(base) != base
        variant = ""
        if "marks" in self.kinds:
            decomposed = unicodedata.normalize("NFD", character)
            marks = "".join(filter(is_mark, decomposed)) + marks
            letter = unicodedata.normalize("NFC", "".join(c for c in decomposed if not is_mark(c)))
            if without_marks(letter) != letter:
                variant = letter.lower()
        return Label(is_upper, variant, marks, trailing)

    def restore(self, unit: str, label: Label) -> str:
        """Return a unit with what a label says, as far as it is missing in the unit.

        The unit is returned unchanged if the label does not fit it: stripping the result gives the stripped unit.
        """
        character, rest = unit[0], unit[1:]
        has_marks = without_marks(character) != character or any(map(is_mark, rest[:1]))
        new = character
        if label.is_upper and "case" in self.kinds:
            new = new.upper()
        if not has_marks and (label.variant or label.marks):
            if label.variant:
                new = label.variant.upper() if new != new.lower() else label.variant
            new = unicodedata.normalize("NFC", new + label.marks)
            if len(new) > 1 and character.isascii():
                return unit  # no letter of a known alphabet
        new += rest
        if all(map(is_mark, rest)):
            new += label.trailing
        return new if self.strip(new) == self.strip(unit) else unit
