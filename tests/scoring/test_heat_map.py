"""The heat map of a score as HTML."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from charlm.scoring.heat_map import COLOURS, INKS, LIMITS, MAX_SHOWN, heat_map_html, level, level_names
from charlm.scoring.score import Score, Summary


def spans(html: str) -> list[ElementTree.Element]:
    """Return the boxes of the characters, without those of the legend."""
    (text, _) = ElementTree.fromstring(f"<body>{html.replace('&nbsp;', '')}</body>")
    return text.findall("span")


def test_each_level_has_a_colour_an_ink_and_a_name() -> None:
    assert len(COLOURS) == len(INKS) == len(level_names()) == len(LIMITS) + 1
    assert level_names() == ["0-1", "1-2", "2-4", "4-6", "6-9", "9+"]


@pytest.mark.parametrize(("bits", "expected"), [(0, 0), (0.99, 0), (1, 1), (3.9, 2), (4, 3), (8.9, 4), (9, 5), (99, 5)])
def test_colour_is_that_of_the_surprisal(bits: float, expected: int) -> None:
    assert level(bits) == expected
    (box,) = spans(heat_map_html([("a", -bits * math.log(2))], ""))
    assert COLOURS[expected] in box.get("style", "")
    assert box.get("title") == f"'a': {bits:.2f} bits"


def test_characters_are_escaped() -> None:
    text = "<b>&\"'\x00\u202e\n\t"
    html = heat_map_html([(character, -1.0) for character in text], "<i>")
    assert "<b>" not in html
    assert "<i>" not in html
    assert "".join(box.text or "" for box in spans(html)) == "<b>&\"'\\x00\\u202e↵\n\\t"


def test_heat_map_refers_to_nothing_outside() -> None:
    html = heat_map_html([("a", -1.0)], "caption")
    assert not [word for word in ("http", "src=", "<script", "class=", "href") if word in html]


def test_long_text_is_cut() -> None:
    html = heat_map_html((("a", -1.0) for _ in range(MAX_SHOWN + 7)), "")
    assert len(spans(html)) == MAX_SHOWN
    assert " ... and 7 more" in html


def test_score_of_many_texts_has_no_heat_map() -> None:
    assert Score(2, 0, -1.0, 0.0, "ab")._repr_html_() is None


def test_metrics_print_their_measures() -> None:
    score = Score(2, 1, -2 * math.log(2), 0.0, "a\n")
    measures = "2 characters (1 unknown), 0.6931 nats/char, 1 bits/char, perplexity 2"
    assert repr(score) == str(score) == f"<Score 'a\\n', {measures}>"
    assert repr(Summary() + score) == f"<Summary {measures}>"
    assert repr(Score(text="x" * 99)) == f"<Score '{'x' * 37}'..., 0 characters>"
