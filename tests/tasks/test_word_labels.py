"""Labels from a network and a lexicon: a product of experts over the forms of a word, summed over all forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from charlm.tasks.tuning import TaskTuning
from charlm.tasks.word_labels import WordLabels
from charlm.text.lexicon import Lexicon
from charlm.text.stripping import Label

LABELS = [Label(), Label(marks="\u0301"), Label(trailing=", "), Label(marks="\u0301", trailing=".")]
COUNTS = {"byt": 1, "být": 4, "býť": 9}
"""The last one has a mark that the network does not know."""
TUNING = TaskTuning(occurrence_weight=2.0)


def word_labels(counts: dict[str, int] = COUNTS) -> WordLabels:
    return WordLabels(LABELS, Lexicon(counts), TUNING)


def random_probs(n: int, seed: int = 0) -> np.ndarray:
    probs = np.random.default_rng(seed).dirichlet(np.ones(len(LABELS)), n)
    return probs.astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_choice_and_probabilities_are_those_of_all_forms(seed: int) -> None:
    """Enumerate all sequences of labels, and weigh each by the counts of its form."""
    probs = random_probs(3, seed)
    weights: dict[tuple[int, ...], float] = {(0, 0, 0): 3.0, (0, 1, 0): 9.0}
    letter = [0, 1, 0, 1]
    mass: dict[tuple[int, ...], float] = {}
    for labels in product(range(4), repeat=3):
        form = tuple(letter[label] for label in labels)
        mass[labels] = float(np.prod([probs[t, label] for t, label in enumerate(labels)])) * weights.get(form, 1.0)
    by_form: dict[tuple[int, ...], float] = {}
    for labels, value in mass.items():
        form = tuple(letter[label] for label in labels)
        by_form[form] = by_form.get(form, 0.0) + value
    argmax = tuple(letter[label] for label in probs.argmax(axis=1))
    best = max({*weights, argmax}, key=lambda form: by_form[form])
    found = word_labels().choose(probs, [(0, "byt")])
    assert tuple(letter[label] for label in found.labels) == best
    total = sum(mass.values())
    for t in range(3):
        expected = sum(value for labels, value in mass.items() if labels[t] == found.labels[t]) / total
        assert found.probabilities[t] == pytest.approx(expected, rel=1e-5)


def test_counts_decide_where_the_network_hesitates() -> None:
    probs = np.array([[0.97, 0.01, 0.01, 0.01], [0.55, 0.40, 0.03, 0.02], [0.97, 0.01, 0.01, 0.01]], np.float32)
    assert word_labels({}).choose(probs, [(0, "byt")]).labels.tolist() == [0, 0, 0]
    assert word_labels({"být": 40}).choose(probs, [(0, "byt")]).labels.tolist() == [0, 1, 0]


def test_unknown_words_and_what_follows_a_word_are_left_to_the_network() -> None:
    probs = random_probs(9)
    expected = probs.argmax(axis=1)
    found = word_labels().choose(probs, [(0, "dum"), (4, "byt")])
    outside = [0, 1, 2, 3, 7, 8]
    assert found.labels[outside].tolist() == expected[outside].tolist()
    np.testing.assert_array_equal(found.probabilities[outside], probs.max(axis=1)[outside].astype(float))


def test_case_is_left_to_the_network() -> None:
    labels = [Label(), Label(is_upper=True), Label(marks="\u0301"), Label(is_upper=True, marks="\u0301")]
    probs = np.array([[0.1, 0.6, 0.1, 0.2], [0.9, 0.0, 0.1, 0.0]], np.float32)
    found = WordLabels(labels, Lexicon({"áb": 7})).choose(probs, [(0, "ab")])
    assert found.labels.tolist() == [3, 0]
    assert found.probabilities[0] == pytest.approx((0.3 + 0.27 * 700) / (1 + 0.27 * 700) * 0.2 / 0.3)


def test_a_long_word_of_improbable_letters_has_probabilities() -> None:
    probs = np.full((400, 4), 1e-30, np.float32)
    probs[:, 2] = 1
    found = word_labels({"ý" * 400: 5}).choose(probs, [(0, "y" * 400)])
    assert found.labels.tolist() == [2] * 400
    np.testing.assert_allclose(found.probabilities, 1)
