"""Forms of words are counted in the training text and found by what is left of a word."""

from __future__ import annotations

import pytest

from charlm.text.lexicon import Lexicon, count_forms, has_words, words_in
from charlm.text.stripping import Label, Stripper

MARKS, BOTH = Stripper.of("marks"), Stripper.of("case,punctuation")


def test_words_are_between_spaces_from_the_first_to_the_last_letter() -> None:
    assert list(words_in("  „Zítra,“ ne-li 12 dnes2x.\nA")) == [(3, "Zítra"), (11, "ne-li"), (20, "dnes2x"), (28, "A")]


def test_a_combining_mark_belongs_to_its_letter() -> None:
    assert [word for _, word in words_in("cafe\u0301.")] == ["cafe\u0301"]


def test_forms_are_counted_in_small_letters_unless_case_is_removed() -> None:
    assert count_forms(["Byt byt", "být, Byt"], MARKS) == {"byt": 3, "být": 1}
    assert count_forms(["Byt byt", "být, Byt"], BOTH) == {"Byt": 2, "byt": 1, "být": 1}


def test_forms_have_a_label_for_each_character_of_the_stripped_word() -> None:
    lexicon = Lexicon({"být": 20, "byt": 3, "bytí": 1}, MARKS)
    assert [(form.labels[1], form.frequency) for form in lexicon.forms("BYT")] == [
        (Label(marks="\u0301"), 20),
        (Label(), 3),
    ]
    assert lexicon.forms("bit") == []


def test_case_is_part_of_a_form_if_it_is_removed() -> None:
    lexicon = Lexicon({"Rome": 5, "rome": 1}, BOTH)
    assert [[label.is_upper for label in form.labels] for form in lexicon.forms("rome")] == [
        [True, False, False, False],
        [False] * 4,
    ]


def test_a_word_with_punctuation_inside_is_not_a_form() -> None:
    assert not Lexicon({"one,two": 3}, BOTH)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [("marks", True), ("case,punctuation", True), ("punctuation", False), ("marks,spaces", False)],
)
def test_text_without_spaces_has_no_words(kinds: str, expected: bool) -> None:
    assert has_words(Stripper.of(kinds)) is expected
