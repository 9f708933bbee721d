"""Spans of labels, valid sequences, and their comparison."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.tasks.spans import Comparison, Span, allowed_transitions, best_sequence, is_bio, spans_of

BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]


@pytest.mark.parametrize(
    ("labels", "bio", "expected"),
    [
        (["B-X", "I-X", "B-X", "O", "I-Y"], True, [Span(0, 2, "X"), Span(2, 3, "X"), Span(4, 5, "Y")]),
        (["B-X", "I-Y", "I-Y"], True, [Span(0, 1, "X"), Span(1, 3, "Y")]),
        (["NN", "NN", "O", "VB"], False, [Span(0, 2, "NN"), Span(3, 4, "VB")]),
        ([], True, []),
    ],
)
def test_spans_are_found(labels: list[str], bio: bool, expected: list[Span]) -> None:
    assert spans_of(labels, bio=bio) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(BIO, True), (["B-X", "O"], True), (["I-X", "O"], False), (["B-X", "I-Y", "O"], False), (["NN", "B-X"], False)],
)
def test_bio_labels_are_recognised(labels: list[str], expected: bool) -> None:
    assert is_bio(labels) is expected


@given(st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_best_sequence_is_the_best_of_all_valid_ones(length: int, seed: int) -> None:
    scores = np.random.default_rng(seed).standard_normal((length, len(BIO)))
    found = best_sequence(scores, allowed_transitions(BIO))

    def is_valid(numbers: tuple[int, ...]) -> bool:
        before = "O"
        for number in numbers:
            label = BIO[number]
            if label.startswith("I-") and before not in (f"B-{label[2:]}", label):
                return False
            before = label
        return True

    valid = filter(is_valid, itertools.product(range(len(BIO)), repeat=length))
    best = max(valid, key=lambda numbers: sum(scores[t, k] for t, k in enumerate(numbers)))
    assert found == list(best)


def test_comparison_counts_whole_spans_and_tokens() -> None:
    comparison = Comparison(bio=True)
    comparison.add(["B-X", "I-X", "O", "B-Y"], ["B-X", "I-X", "B-X", "O"])
    comparison.add(["B-X", "I-X"], ["B-X", "O"])
    assert comparison.kinds == ["X", "Y"]
    assert comparison.accuracy == 3 / 6
    assert comparison.metrics(["X"]) == (pytest.approx(1 / 3), 1 / 2, pytest.approx(0.4))
    assert comparison.metrics(["Y"]) == (0.0, 0.0, 0.0)
    assert comparison.metrics(["X", "Y"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3))
