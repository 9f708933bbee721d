"""Forms of words are counted in the training text and found by what is left of a word."""

from __future__ import annotations

from charlm.text.lexicon import MAX_FORMS, Lexicon, count_forms, words_in
from charlm.text.stripping import Label


def test_words_are_between_spaces_from_the_first_to_the_last_letter() -> None:
    assert list(words_in("  „Zítra,“ ne-li 12 dnes2x.\nA")) == [(3, "Zítra"), (11, "ne-li"), (20, "dnes2x"), (28, "A")]


def test_a_combining_mark_belongs_to_its_letter() -> None:
    assert [word for _, word in words_in("cafe\u0301.")] == ["cafe\u0301"]


def test_forms_are_counted_in_small_letters() -> None:
    assert count_forms(["Byt byt", "být, Byt"]) == {"byt": 3, "být": 1}


def test_the_most_frequent_forms_are_kept() -> None:
    text = " ".join(f"{chr(0x4E00 + k // 1000)}{chr(0x4E00 + k % 1000)}" for k in range(MAX_FORMS + 5))
    found = count_forms([f"{text} být být"])
    assert len(found) == MAX_FORMS
    assert next(iter(found.items())) == ("být", 2)


def test_forms_have_a_label_for_each_character_of_the_word() -> None:
    lexicon = Lexicon({"být": 20, "byt": 3, "bytí": 1})
    assert [(form.labels[1], form.frequency) for form in lexicon.forms("BYT")] == [
        (Label(marks="\u0301"), 20),
        (Label(), 3),
    ]
    assert lexicon.forms("bit") == []


def test_a_word_whose_small_letters_are_more_characters_has_no_forms() -> None:
    assert Lexicon({"i\u0307x": 3}).forms("\u0130x") == []
