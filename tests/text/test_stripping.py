"""Stripping is done character by character; a label never changes what is left."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import ConfigError
from charlm.text.stripping import KINDS, Label, Stripper

LETTERS = st.text(st.sampled_from("aeÉéłŁİıßǿĐð. ,”'1\u0301\u0328\nйЁ文が\u05e9\u05c1K"))
TEXTS = st.one_of(st.text(), LETTERS)
STRIPPERS = st.sets(st.sampled_from(KINDS), min_size=1).map(Stripper)
LABELS = st.builds(Label, st.booleans(), st.sampled_from(["", "ł", "x"]), LETTERS, LETTERS)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("marks", "Zlutoucky kun, Lodz? 3.14 и"),
        ("case", "žluťoučký kůň, łódź? 3.14 й"),
        ("spaces", "Žluťoučkýkůň,Łódź?3.14й"),
        ("punctuation", "Žluťoučký kůň Łódź 314 й"),
        ("marks, case,spaces,punctuation", "zlutouckykunlodz314и"),
    ],
)
def test_kinds_are_removed(kinds: str, expected: str) -> None:
    text = "Žluťoučký kůň, Łódź? 3.14 й"
    assert Stripper.of(kinds).strip(text) == expected


def test_letters_that_unicode_does_not_decompose_lose_their_marks() -> None:
    stripper = Stripper.of("marks")
    assert stripper.strip("łŁøØđĐħŧıґқ") == "lLoOdDhtiгк"


@pytest.mark.parametrize("kinds", ["", "accents", "marks,", "marks;case"])
def test_unknown_kind_is_refused(kinds: str) -> None:
    with pytest.raises(ConfigError, match=r"`remove` is .*; expected one or more of marks, case, spaces, punctuation"):
        Stripper.of(kinds)


@given(STRIPPERS, TEXTS, TEXTS)
def test_stripping_joined_texts_is_joining_stripped_ones(stripper: Stripper, one: str, two: str) -> None:
    assert stripper.strip(one + two) == stripper.strip(one) + stripper.strip(two)
    assert stripper.strip(stripper.strip(one)) == stripper.strip(one)


@given(STRIPPERS, TEXTS)
def test_joined_units_are_the_text(stripper: Stripper, text: str) -> None:
    units = stripper.units(text)
    assert "".join(units) == text
    assert all(len(stripper.strip(unit)) == 1 for unit in units[1:])


@given(STRIPPERS, TEXTS, LABELS)
def test_restoring_never_changes_the_stripped_text(stripper: Stripper, text: str, label: Label) -> None:
    for unit in stripper.units(text):
        if not stripper.is_removed(unit[0]):
            assert stripper.strip(stripper.restore(unit, label)) == stripper.strip(unit)


@pytest.mark.parametrize("kinds", [*KINDS, ",".join(KINDS)])
@pytest.mark.parametrize("text", ["Žluťoučký kůň, “Łódź”: Đặng Øre. Ελλάδα, Ёлка и йод!\n", "e\u0301 שִׁ が"])
def test_label_of_a_unit_restores_it(kinds: str, text: str) -> None:
    stripper = Stripper.of(kinds)
    units = stripper.units(text)
    restored = (stripper.restore(stripper.strip(unit), Label.parse(str(stripper.label(unit)))) for unit in units)
    assert unicodedata.normalize("NFC", "".join(restored)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("unit", "label", "expected"),
    [
        ("é", Label(marks="\u0302"), "é"),  # it has a mark
        ("é", Label(is_upper=True, marks="\u0302"), "É"),
        ("E", Label(marks="\u0301"), "É"),
        ("L", Label(variant="ł"), "Ł"),
        ("e.", Label(trailing=", "), "e."),  # it has punctuation
        ("e\u0301", Label(trailing=" "), "e\u0301 "),
        ("q", Label(marks="\u0301"), "q"),  # no letter of a known alphabet
        ("ß", Label(is_upper=True), "ß"),  # two capitals
        ("e", Label(variant="ł"), "e"),
        ("e", Label(trailing="x"), "e"),
    ],
)
def test_label_adds_only_what_is_missing_and_fits(unit: str, label: Label, expected: str) -> None:
    assert Stripper(KINDS).restore(unit, label) == expected
