"""Properties of the characters of a text that a cell may represent: inside quotes, position in the line, and others.

A property is a function of a text that returns a value for each of its characters. A property of true and false is
compared with a cell by the area under the ROC curve (AUC), a number by its correlation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Mask

Values: TypeAlias = npt.NDArray[Any]
"""(N,): a mask, or a number for each character."""

OPENING, CLOSING = "([{", ")]}"
SPEAKER = re.compile(r"(?:^|(?<=\n\n))[^\W\d_a-z][^\n:.!?]{0,40}:(?=\n)")
"""A line that ends with a colon, at the start of a paragraph: the speaker in a play."""
COMMENT = re.compile(r"(?:^|(?<=\s))(?:#|//|%)[^\n]*|/\*.*?\*/", re.DOTALL)
"""A comment of Python, a shell, C, Java, JavaScript, TeX or ABC notation."""
FIELD = re.compile(r"^[A-Za-z][\w-]*:(?=.).*$", re.MULTILINE)
"""A line "name: value", such as a header of ABC notation or of an e-mail."""
QUOTES = ('"', '"'), ("\u201c", "\u201d"), ("\u00ab", "\u00bb")
"""Opening and closing double quotes."""
DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
"""A text in triple quotes."""
QUOTED = re.compile(
    "|".join([DOCSTRING.pattern, *(rf"{one}((?:(?!\n\n)[^{other}])*){other}" for one, other in QUOTES)]), re.DOTALL
)
"""A text in double quotes in one paragraph, or in triple quotes."""
IMPORT = re.compile(r"^(?:from|import|#include|using|use|require)\b.*$", re.MULTILINE)
"""A line that imports, in Python, C, C#, Rust or JavaScript."""
MIN_BAR_LENGTH = 100
"""Characters of a text for each bar line, at most, in which bars are looked for."""
PARAGRAPH = re.compile(r"(?:[^\n]+\n?)+")


def inside(text: str, spans: Iterable[tuple[int, int]]) -> Mask:
    """Return whether each character is in one of the spans (start, stop)."""
    mask = np.zeros(len(text), np.bool_)
    for start, stop in spans:
        mask[start:stop] = True
    return mask


def quoted_text(text: str) -> Mask:
    """Return whether a character is inside double quotes; the closing quote is outside."""
    return inside(text, ((match.start(), match.end(match.lastindex or 0)) for match in QUOTED.finditer(text)))


def bracket_depth(text: str) -> Array:
    """Return the number of open brackets after each character; an unmatched closing bracket counts as none."""
    depth, depths = 0, []
    for character in text:
        depth = max(0, depth + (character in OPENING) - (character in CLOSING))
        depths.append(depth)
    return np.array(depths, np.float64)


def since(text: str, is_start: Callable[[str], bool]) -> Array:
    """Return the number of characters since the last one that is a start, which has 0."""
    count, counts = 0, []
    for character in text:
        count = 0 if is_start(character) else count + 1
        counts.append(count)
    return np.array(counts, np.float64)


def position_in_bar(text: str) -> Array:
    """Return the number of characters since the last bar line of a tune; 0 in a text that has few."""
    has_bars = text.count("|") * MIN_BAR_LENGTH > len(text)
    return since(text, "|\n".__contains__) if has_bars else np.zeros(len(text))


def indentation(text: str) -> Array:
    """Return the number of spaces, or of tabs times 8, at the start of the line of each character, so far."""
    width, is_leading, widths = 0, True, []
    for character in text:
        if character == "\n":
            width, is_leading = 0, True
        elif is_leading and character in " \t":
            width += 8 if character == "\t" else 1
        else:
            is_leading = False
        widths.append(width)
    return np.array(widths, np.float64)


def after_capital(text: str) -> Mask:
    """Return whether the character before is an upper-case letter."""
    return np.array([False, *(character.isupper() for character in text[:-1])][: len(text)], np.bool_)


def verse_line(text: str) -> Mask:
    """Return whether a character is in verse: a paragraph of which all lines, at least two, begin with a capital.

    The line of a speaker, before the others, does not count.
    """
    spans = []
    for paragraph in PARAGRAPH.finditer(text):
        speaker = SPEAKER.match(text, paragraph.start())
        start = speaker.end() + 1 if speaker else paragraph.start()
        lines = text[start : paragraph.end()].splitlines()
        if len(lines) > 1 and all(re.match(r"[^\w\s]?[^\W\d_a-z]", line) for line in lines):
            spans.append((start, paragraph.end()))
    return inside(text, spans)


def spans_of(pattern: re.Pattern[str]) -> Callable[[str], Mask]:
    """Return a property: whether a character is in a match of the pattern."""
    return lambda text: inside(text, (match.span() for match in pattern.finditer(text)))


def each(test: Callable[[str], bool]) -> Callable[[str], Mask]:
    """Return a property of single characters."""
    return lambda text: np.fromiter(map(test, text), np.bool_, len(text))


PROPERTIES: dict[str, Callable[[str], Values]] = {
    "inside quotes": quoted_text,
    "inside brackets": lambda text: bracket_depth(text) > 0,
    "depth of brackets": bracket_depth,
    "position in the line": lambda text: since(text, "\n".__eq__),
    "position in the word": lambda text: since(text, lambda character: not character.isalnum()),
    "position in the bar": position_in_bar,
    "indentation of the line": indentation,
    "upper case": each(str.isupper),
    "after a capital": after_capital,
    "in a word": each(str.isalnum),
    "in a comment": spans_of(COMMENT),
    "in a docstring": spans_of(DOCSTRING),
    "in an import": spans_of(IMPORT),
    "in a field": spans_of(FIELD),
    "in a verse line": verse_line,
    "in a speaker's name": spans_of(SPEAKER),
}
"""Name -> the property of a text."""


def measure_properties(text: str, tokens: Sequence[str]) -> dict[str, Values]:
    """Return each property after each of N tokens, (N,): that of the token's last character."""
    last = np.cumsum([len(token) for token in tokens], dtype=np.intp) - 1
    return {name: measure(text)[last] for name, measure in PROPERTIES.items()}
