"""The words that a change touches, and the cuts between words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.words import changed_span, cut_between_words


@pytest.mark.parametrize(
    ("text", "start", "stop", "new", "span"),
    [
        ("in teh end", 4, 6, "he", "teh"),
        ("in teh end", 3, 4, "x", "teh"),
        ("in th end", 5, 5, "e", "th"),
        ("in he end", 3, 3, "t", "he"),
        ("inthe end", 2, 2, " ", "inthe"),
        ("in th e end", 5, 6, "", "th e"),
        ("in th eend", 5, 7, "e ", "th eend"),
        ("in th. end", 5, 6, "e", "th."),
        ("the end.", 7, 8, "!", "."),
        ("end,, so", 4, 5, "", ","),
        ("a, b", 1, 3, " ,", ", "),
        ("the end", 7, 7, ".", "end"),
        ("ends. It", 5, 6, "-", " "),
        ("don\u2019t", 0, 1, "w", "don\u2019t"),
        ("don't", 0, 1, "w", "don't"),
        ("e\u0301te\u0301", 2, 3, "d", "e\u0301te\u0301"),
        ("\u5e8a\u524d\u660e\u6708", 1, 2, "\u5f8c", "\u524d"),
        ("1599 was", 1, 2, "6", "1599"),
        (" - ", 1, 1, ".", "-"),
        ("--", 2, 2, ".", "-"),
        ("acgt" * 20, 8, 9, "c", "a"),
        ("acgt" * 20, 9, 9, "a", "c"),
        ("acgt" * 9, 8, 9, "c", "acgt" * 9),
    ],
)
def test_span_of_a_change(text: str, start: int, stop: int, new: str, span: str) -> None:
    first, last = changed_span(text, start, stop, new)
    assert text[first:last] == span
    assert first <= start
    assert stop <= last


@given(st.text(alphabet="ab ,\n\u5e8a"), st.integers(1, 9))
def test_parts_are_the_text_and_cut_no_short_word(text: str, size: int) -> None:
    bounds = cut_between_words(text, size)
    parts = [text[start:stop] for start, stop in pairwise(bounds)]
    assert "".join(parts) == text
    assert all(0 < len(part) <= size for part in parts) or not text
    for cut in bounds[1:-1]:
        if text[cut - 1] in "ab" and text[cut] in "ab":
            assert any(text[cut - size : cut] in part for part in parts if len(part) == size)
            assert set(text[cut - size : cut]) <= set("ab")
