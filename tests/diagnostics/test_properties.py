"""Properties of characters, written below the text that they describe."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.diagnostics.properties import PROPERTIES, measure_properties

PLAY = (
    'ROMEO:\nBut soft,\n"What light\n\nSampson:\nno, sir, I do not\nBite my thumb\n\n'
    "not a: speaker\n\nIf so\n  Then no\n"
)


@pytest.mark.parametrize(
    ("name", "text", "marks"),
    [
        ("inside quotes", 'say "no" and "yes".', "....###......####.."),
        ("inside quotes", "a “b” «cd» x", "..##..###..."),
        ("inside quotes", 'open "quote\n\nnext "one" ', "..................####"),
        ("inside quotes", '"""a\n\n"b" c""" "d"', "###########....##"),
        ("in a docstring", 'x = 1\n"""a\n"""\n', "......########."),
        ("in an import", "import a\nfrom b import c\nimports = 1\n", "########.###############............."),
        ("inside brackets", "f(a[1]) + 2)", ".#####......"),
        ("in a comment", "x = 1  # why\ny = 2", ".......#####......"),
        ("in a comment", "a /* b */ c//d // e", "..#######......####"),
        ("in a comment", "# top\nb#c", "#####...."),
        ("in a field", "X: 1\nabc\nT:x\nU:\n", "####.....###...."),
        ("after a capital", "aBCd", "..##"),
        ("upper case", "aBc", ".#."),
        ("in a word", "ab c1!", "##.##."),
    ],
)
def test_mask_of_a_text(name: str, text: str, marks: str) -> None:
    shown = "".join(".#"[value] for value in PROPERTIES[name](text).astype(int))
    assert shown == marks.ljust(len(text), ".")


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("depth of brackets", "f(a[1]))(", [0, 1, 1, 2, 2, 1, 0, 0, 1]),
        ("position in the line", "ab\nc\n", [1, 2, 0, 1, 0]),
        ("position in the word", "ab  c", [1, 2, 0, 0, 1]),
        ("position in the bar", "a|bc\nd", [1, 0, 1, 2, 0, 1]),
        ("position in the bar", "abc", [0, 0, 0]),
        ("position in the bar", "a|" + "b" * 198, [0] * 200),
        ("indentation of the line", "  a b\n\tc", [1, 2, 2, 2, 2, 0, 8, 8]),
    ],
)
def test_number_of_a_text(name: str, text: str, values: list[int]) -> None:
    assert PROPERTIES[name](text).tolist() == values


def test_speakers_are_lines_with_a_colon_at_the_start_of_a_paragraph() -> None:
    mask = PROPERTIES["in a speaker's name"](PLAY)
    assert "".join(np.array(list(PLAY))[mask]) == "ROMEO:Sampson:"


def test_verse_is_a_paragraph_of_lines_that_begin_with_a_capital() -> None:
    mask = PROPERTIES["in a verse line"](PLAY)
    assert "".join(np.array(list(PLAY))[mask]) == 'But soft,\n"What light\n'


def test_words_have_the_properties_of_their_last_characters() -> None:
    tokens = ["Ab", " ", "(", "cde", ")"]
    found = measure_properties("".join(tokens), tokens)
    assert found["position in the word"].tolist() == [2, 0, 0, 3, 0]
    assert found["inside brackets"].tolist() == [False, False, True, True, False]


def test_empty_text_has_empty_properties() -> None:
    assert {len(values) for values in measure_properties("", []).values()} == {0}
