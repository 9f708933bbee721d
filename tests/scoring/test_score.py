"""Measures derived from log-probabilities."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.scoring.score import CharScore, Score, Summary, in_base
from charlm.text.vocabulary import EOS, split_text


def test_worked_numbers() -> None:
    score = Score(4, 1, -8 * math.log(2), -5 * math.log(2), "text")
    assert score.nats_per_char == pytest.approx(2 * math.log(2))
    assert score.bits_per_char == pytest.approx(2)
    assert score.perplexity == pytest.approx(4)
    assert score.known.characters == 3
    assert score.known.bits_per_char == pytest.approx(1)
    assert score.known.perplexity == pytest.approx(2)
    assert [in_base(math.log(1000), base) for base in ("e", "2", "10")] == pytest.approx([6.907755, 9.965784, 3])


KEYS = ["text", "characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity"]


def test_json_has_the_keys_of_the_contract() -> None:
    row = Score(2, 0, -3.0, 0.0, "é\n").as_json()
    assert list(row) == KEYS
    assert row["nats_per_char"] == 1.5
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_metrics_without_characters_are_nan() -> None:
    score = Score(text="")
    assert math.isnan(score.nats_per_char)
    assert math.isnan(score.bits_per_char)
    assert math.isnan(score.perplexity)
    row = score.as_json()
    assert row["log_prob"] == 0
    assert row["nats_per_char"] is row["bits_per_char"] is row["perplexity"] is None


def test_perplexity_beyond_the_range_of_floats_is_inf() -> None:
    assert Score(1, 0, -1e4, 0.0, "x").perplexity == math.inf
    assert Score(1, 0, -1e4, 0.0, "x").as_json()["perplexity"] is None


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-99, 0)), max_size=9))
def test_summary_adds_up(parts: list[tuple[int, float]]) -> None:
    total = Summary()
    for characters, log_prob in parts:
        total += Score(characters, characters // 2, log_prob, log_prob / 2, "t")
    assert total.texts == len(parts)
    assert total.characters == sum(characters for characters, _ in parts)
    assert total.unknown == sum(characters // 2 for characters, _ in parts)
    assert total.log_prob == pytest.approx(sum(log_prob for _, log_prob in parts))
    assert total.known.log_prob == pytest.approx(total.log_prob / 2)


def test_char_score_in_all_units() -> None:
    score = CharScore("a", 3, -2 * math.log(2), 2)
    assert score.probability == pytest.approx(0.25)
    assert score.surprisal == pytest.approx(2 * math.log(2))
    assert score.surprisal_bits == pytest.approx(2)


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("the  quick\nfox, ", "char", ["the", "  quick", "\nfox,", " "]),
        (" a", "char", [" a"]),
        ("  ", "char", ["  "]),
        ("", "char", []),
        ("It's 12 o'clock.", "word", ["It's", " 12", " o'clock."]),
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_words_have_the_whitespace_before_them_and_sum_to_the_text(
    text: str, unit: str, words: list[str], end: bool
) -> None:
    tokens = [*split_text(text, unit), *[EOS] * end]
    log_probs = -np.arange(1.0, len(tokens) + 1)
    score = Score(len(tokens), 0, float(log_probs.sum()), 0.0, text, unit, False, log_probs)
    found = score.words()
    assert [word for word, _ in found] == [*words, *[EOS] * end]
    assert sum(log_prob for _, log_prob in found) == pytest.approx(score.log_prob)
    if words:
        assert found[0][1] == -sum(range(1, len(split_text(words[0], unit)) + 1))
