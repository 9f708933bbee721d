"""The word at a position of a text: a run of letters, digits and apostrophes."""

from __future__ import annotations

import re
import unicodedata

APOSTROPHES = "'\u2019"
WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Ideographs and kana. Such scripts put no spaces between words, so each of these characters is a word."""

MAX_REACH = 40
"""Characters of a word on either side of a change. A longer run, as of DNA, has no words."""


def is_in_word(character: str) -> bool:
    """Return whether a character is a letter, a combining mark, a digit or an apostrophe."""
    return character.isalnum() or character in APOSTROPHES or unicodedata.category(character).startswith("M")


def is_joined(character: str) -> bool:
    """Return whether a character and its neighbours may be one word."""
    return is_in_word(character) and not WITHOUT_SPACES.match(character)


def changed_span(text: str, start: int, stop: int, new: str) -> tuple[int, int]:
    r"""Return the bounds of what a reader calls changed if `new` replaces text[start:stop].

    These are the words that the change touches, or that it joins. A change of other characters alone is its own span,
    and so is one in a run of letters that is too long for a word.

    >>> changed_span("in teh end", 4, 6, "he")
    (3, 6)
    >>> changed_span("in th e end", 5, 6, "")
    (3, 7)
    >>> changed_span("the end.", 7, 8, "!")
    (7, 8)
    """
    first, last = start, stop
    while first > max(0, start - MAX_REACH) and is_joined(text[first - 1]):
        first -= 1
    while last < min(len(text), stop + MAX_REACH) and is_joined(text[last]):
        last += 1
    is_short = start - first < MAX_REACH and last - stop < MAX_REACH
    joins_words = not new and first < start and last > stop
    touches_word = start == stop or joins_words or any(map(is_in_word, text[start:stop] + new))
    if is_short and touches_word and first < last:
        return first, last
    if start < stop:
        return start, stop
    return (start, start + 1) if start < len(text) else (max(start - 1, 0), start)


def cut_between_words(text: str, size: int) -> list[int]:
    """Return the bounds of parts of a text of at most `size` characters, cut between words where there is a gap.

    >>> cut_between_words("the end of it", 5)
    [0, 4, 8, 13]
    """
    bounds = [0]
    while len(text) - bounds[-1] > size:
        cut = bounds[-1] + size
        while cut > bounds[-1] and is_joined(text[cut - 1]) and is_joined(text[cut]):
            cut -= 1
        bounds.append(cut if cut > bounds[-1] else bounds[-1] + size)
    return [*bounds, len(text)]
