"""Vocabulary: round trips over all of Unicode, specials, words, JSON."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.vocabulary import EOS, UNK, LineVocabulary, Vocabulary, split_words

ANY_TEXT = st.text(st.characters())  # every code point: NUL, astral planes, lone surrogates
SURROGATES = "\ud800x\udfff"


@given(ANY_TEXT)
def test_known_characters_make_the_round_trip(text: str) -> None:
    vocabulary = Vocabulary.build(dict.fromkeys(text, 1))
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.unknown(text) == []


@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize("newline", [{}, {"\n": 1}], ids=["lines", "lines after running text"])
def test_a_newline_is_the_end_of_a_line(unit: str, newline: dict[str, int]) -> None:
    vocabulary = Vocabulary.build({"a": 1, "b": 1} | newline, unit=unit)
    lines = LineVocabulary(vocabulary.tokens, unit)
    a, b = vocabulary.encode("a")[0], vocabulary.encode("b")[0]
    for text, ids in (("a\nb?", [a, 0, b, 1]), ("\n\n", [0, 0]), ("", []), ("b", [b])):
        assert lines.encode(text).tolist() == ids
    assert lines.unknown("\n?") == [1]
    assert lines == vocabulary  # as a model file has them
    assert type(lines.extended("c")) is Vocabulary


@given(ANY_TEXT, ANY_TEXT)
def test_encode_never_raises(known: str, text: str) -> None:
    vocabulary = Vocabulary.build(dict.fromkeys(known, 1))
    ids = vocabulary.encode(text)
    assert ids.shape == (len(text),)
    assert ids.dtype == np.int32
    assert vocabulary.unknown(text) == [k for k, c in enumerate(text) if c not in known]


@given(ANY_TEXT)
def test_words_make_the_round_trip(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == text
    vocabulary = Vocabulary.build(dict.fromkeys(words, 1), unit="word")
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_lone_surrogates_survive() -> None:
    vocabulary = Vocabulary.build(dict.fromkeys(SURROGATES, 1))
    assert vocabulary.decode(vocabulary.encode(SURROGATES)) == SURROGATES


def test_specials_come_first_and_the_rest_is_sorted() -> None:
    vocabulary = Vocabulary.build({"b": 5, "a": 1, "é": 2})
    assert vocabulary.tokens == (EOS, UNK, "a", "b", "é")
    assert (vocabulary.eos, vocabulary.unk) == (0, 1)


def test_rare_characters_become_unknown() -> None:
    vocabulary = Vocabulary.build({"a": 2, "b": 1}, min_count=2)
    assert vocabulary.encode("ab").tolist() == [2, 1]
    assert vocabulary.decode([0, 2, 1]) == "a\ufffd"


def test_text_cannot_spell_a_special() -> None:
    vocabulary = Vocabulary.build(dict.fromkeys(EOS, 1))
    assert vocabulary.eos not in vocabulary.encode(EOS)
    words = Vocabulary.build({EOS: 3, "a": 1}, unit="word")
    assert len(words) == 3
    assert EOS not in words


def test_words_are_words_numbers_and_marks_with_their_spaces() -> None:
    assert split_words("Don't pay 1,599 -- now!\n The  end_ ") == [
        "Don't", " pay", " 1", ",", "599", " -", "-", " now", "!", "\n", " The", " ", " end", "_", " ",
    ]  # fmt: skip


def test_old_vocabulary_of_words_keeps_spaces_apart() -> None:
    old = Vocabulary.build(dict.fromkeys((" ", "to", "be"), 1), unit="word")
    assert old.spaces_apart
    assert list(old.split("to be")) == ["to", " ", "be"]
    assert old.decode(old.encode("to be")) == "to be"
    assert old.without_open_space("to ") == "to "


@pytest.mark.parametrize("tokens", [("to", " be"), ("to", "be"), (" ", " be"), ("to", "\n")])
def test_new_vocabulary_of_words_joins_spaces(tokens: tuple[str, ...]) -> None:
    new = Vocabulary.build(dict.fromkeys(tokens, 1), unit="word")
    assert not new.spaces_apart
    assert list(new.split("to be")) == ["to", " be"]
    assert new.without_open_space("to  ") == "to "


def test_word_that_starts_a_text_is_known_by_its_form_after_a_space() -> None:
    vocabulary = Vocabulary.build({" be": 1, "to": 1}, unit="word")
    assert vocabulary.encode("be to").tolist() == [2, 1]
    assert vocabulary.encode("to be").tolist() == [3, 2]


def test_space_at_the_end_of_a_prompt_stays_in_a_vocabulary_of_characters() -> None:
    assert Vocabulary.build({" ": 1, "a": 1}).without_open_space("a ") == "a "


@pytest.mark.parametrize("unit", ["char", "word"])
def test_newline_is_its_id_or_minus_one(unit: str) -> None:
    assert Vocabulary.build({"\n": 1, "a": 1}, unit=unit).newline == 2
    assert Vocabulary.build({"a": 1}, unit=unit).newline == -1


def test_one_hot_has_a_one_in_each_column() -> None:
    vocabulary = Vocabulary.build({"a": 1, "b": 1})
    hot = vocabulary.one_hot(np.array([[2, 0], [3, 1], [1, 1]]))
    assert hot.shape == (4, 3, 2)
    np.testing.assert_array_equal(hot.sum(axis=0), 1)
    np.testing.assert_array_equal(hot.argmax(axis=0), [[2, 0], [3, 1], [1, 1]])


def test_one_hot_product_is_a_gather() -> None:
    vocabulary = Vocabulary.build(dict.fromkeys("abcde", 1))
    weight = np.random.default_rng(0).standard_normal((3, len(vocabulary)))
    ids = vocabulary.encode("badce")
    np.testing.assert_array_equal(weight @ vocabulary.one_hot(ids, np.float64), weight[:, ids])


def test_extended_keeps_old_ids() -> None:
    old = Vocabulary.build({"b": 1, "x": 1})
    new = old.extended("ax!")
    assert new.tokens[: len(old)] == old.tokens
    assert new.tokens[len(old) :] == ("!", "a")


def test_json_round_trip() -> None:
    vocabulary = Vocabulary.build({"a": 1, SURROGATES[0]: 1})
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert hash(Vocabulary.from_json(vocabulary.to_json())) == hash(vocabulary)
    assert "3" not in vocabulary
    assert "a" in vocabulary
    assert "4 tokens" in repr(vocabulary)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"unit": "byte"}, "unit is 'byte'"),
        ({"tokens": "abc"}, "no list"),
        ({"tokens": [EOS, UNK, 7]}, "not a string"),
        ({"tokens": ["a", "b"]}, "first tokens"),
        ({"tokens": [EOS, UNK, "a", "a"]}, "twice"),
        ({"tokens": [EOS, UNK, "ab"]}, "not one character"),
        ({"tokens": [EOS, UNK, ""]}, "not one character"),
        ({"unit": "word", "tokens": [EOS, UNK, ""]}, "empty"),
        ({"eos": 1}, "eos is 1"),
        ({"unk": True}, "unk is True"),
    ],
)
def test_bad_json_is_refused_with_the_reason(change: dict[str, object], reason: str) -> None:
    kept = Vocabulary.build({"a": 1}).to_json() | change
    with pytest.raises(ValueError, match=reason):
        Vocabulary.from_json(kept)


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="not an object"):
        Vocabulary.from_json([1])
