"""Translating: each source is on its own, a beam of 1 is greedy, a wide beam is exact, probabilities are right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError
from charlm.model import LanguageModel
from charlm.nn.functional import log_softmax
from charlm.tasks.beam_search import Search
from charlm.tasks.pairs import Candidate, Comparison, Translator, edit_distance
from charlm.tasks.tuning import TaskTuning
from tests.tasks.tiny import random_classifier, random_translator

MODEL = random_translator()
SOURCES = ["abc", "", "d", "a b\nc", "cccc", "xyz", "abc", "dcba" * 9]
TEXTS = st.one_of(st.text(), st.text(st.sampled_from("abcd \nx\t")))


def translator(model: LanguageModel, **tuning: int) -> Translator:
    return Translator(
        model.translator._network, model.vocabulary, model.labels, model.text.target_unit, TaskTuning(**tuning)
    )


def log_probs(model: LanguageModel, source: str, labels: tuple[int, ...]) -> list[np.ndarray]:
    """Return log p of each label after each of the first labels of a target, step by step."""
    network = model.translator._network
    ids = model.vocabulary.encode(source.replace("\n", " "))[::-1]
    stepper = network.stepper(network.encode(np.concatenate([[0], ids])[:, None].astype(np.intp)))
    return [log_softmax(stepper.read(np.array([label])).astype(np.float64))[0] for label in (0, *labels)]


def log_prob(model: LanguageModel, source: str, found: Candidate) -> float:
    """Return log p of a target."""
    labels = [model.labels.index(unit) for unit in found.units] + [0] * found.is_complete
    steps = log_probs(model, source, tuple(labels[:-1]))
    return float(sum(step[label] for step, label in zip(steps, labels, strict=True)))


@given(st.lists(TEXTS, max_size=6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_every_source_has_a_result_in_order(sources: list[str], beam: int) -> None:
    found = list(MODEL.translate_each(iter(sources), beam=beam, threads=1))
    assert [one.source for one in found] == [MODEL.clean(source) for source in sources]
    for one in found:
        assert len(one.candidates) == 1
        assert 0 < one.probability <= 1
        assert one.target == "".join(one.candidates[0].units)


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize(
    "tuning", [{"first_texts": 1, "texts_per_batch": 3}, {"max_hypotheses": 1}, {"max_source_ids": 9}]
)
def test_results_are_those_of_each_source_alone(beam: int, tuning: dict[str, int]) -> None:
    for threads in (1, 2):
        together = list(translator(MODEL, **tuning).translate(SOURCES * 2, beam=beam, best=beam, threads=threads))
        for one in together:
            alone = MODEL.translate(one.source, beam=beam, best=beam)
            assert [c.target for c in one.candidates] == [c.target for c in alone.candidates]
            for a, b in zip(one.candidates, alone.candidates, strict=True):
                assert a.log_prob == pytest.approx(b.log_prob, rel=1e-4, abs=1e-5)
    assert len({one.target for one in together}) > 3


@pytest.mark.parametrize("source", ["abc", "d", "dcba"])
def test_beam_of_one_takes_the_best_label_at_each_step(source: str) -> None:
    (found,) = MODEL.translate(source).candidates
    labels: tuple[int, ...] = ()
    while len(labels) < len(found.units):
        labels += (int(log_probs(MODEL, source, labels)[-1].argmax()),)
    assert tuple(MODEL.labels[label] for label in labels) == found.units
    if found.is_complete:
        assert log_probs(MODEL, source, labels)[-1].argmax() == 0


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_probabilities_are_those_of_reading_the_target(beam: int, members: int) -> None:
    model = random_translator(members=members, seed=2)
    for source in ("abc", "dd", "a"):
        found = model.translate(source, beam=beam, best=beam).candidates
        for one in found:
            assert one.log_prob == pytest.approx(log_prob(model, source, one), rel=1e-4)
        assert [one.log_prob for one in found] == sorted((one.log_prob for one in found), reverse=True)
        assert len({one.units for one in found}) == len(found)
        assert all("" not in one.units for one in found)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("source", ["abc", "dcba", "b", "cc", "dd", "cccc"])
def test_wide_beam_finds_the_best_of_all_targets(source: str, exponent: float) -> None:
    limit, labels = 5, range(1, len(MODEL.labels))
    network = MODEL.translator._network
    ids = MODEL.vocabulary.encode(source)[::-1]
    encoded = network.encode(np.concatenate([[0], ids])[:, None].astype(np.intp))
    seven, one = (Search(network, encoded, np.array([limit]), 3**limit, best, exponent).run()[0] for best in (7, 1))
    every = {}
    for length in range(limit):
        for target in itertools.product(labels, repeat=length):
            steps = log_probs(MODEL, source, target)
            total = sum(step[label] for step, label in zip(steps, (*target, 0), strict=True))
            every[target] = float(total) / math.pow(length + 1, exponent)
    expected = sorted(every, key=lambda target: every[target], reverse=True)[:7]
    assert [hypothesis.labels for hypothesis in seven] == expected
    assert [hypothesis.labels for hypothesis in one] == expected[:1]
    assert all(hypothesis.is_complete for hypothesis in seven)


def test_target_without_an_end_stops_at_the_limit() -> None:
    model = random_translator()
    model.params["head.bias"][0] = -1e6
    found = translator(model, min_target_limit=3, target_factor=2).translate(["ab", "abc"], beam=2, best=2)
    assert [[len(one.units) for one in translation.candidates] for translation in found] == [[8], [10]]
    assert not model.translate("ab").candidates[0].is_complete
    assert len(model.translate("a" * 400).candidates[0].units) == 501


def test_start_of_a_long_source_is_read() -> None:
    found = list(translator(MODEL, max_source_length=3, min_target_limit=9).translate(["abcd" * 999, "abc", "abcdd"]))
    assert found[0].candidates == found[1].candidates == found[2].candidates
    assert len(found[0].source) == 4 * 999


def test_first_results_come_before_all_sources_are_read() -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for number in range(100):
            read.append(str(number))
            yield "abc"

    next(MODEL.translate_each(source()))
    assert len(read) == TaskTuning.first_texts


def test_symbols_are_joined_by_spaces() -> None:
    model = random_translator(labels=("", "AH0", "B", "K"), target_unit="symbol")
    found = model.translate("abc").candidates[0]
    assert found.target.split() == list(found.units)
    assert len(found.units) > 1


def test_mixture_averages_the_probabilities_of_its_members() -> None:
    mixture = random_translator(members=2)
    each = [
        LanguageModel(mixture.network, one, mixture.vocabulary, mixture.text, labels=mixture.labels)
        for one in mixture.members
    ]
    found = np.exp(log_probs(mixture, "abca", (1, 2)))
    np.testing.assert_allclose(found, np.mean([np.exp(log_probs(m, "abca", (1, 2))) for m in each], axis=0), rtol=1e-4)


def test_other_uses_are_refused() -> None:
    for use in (MODEL.sample, lambda: MODEL.score("a"), lambda: MODEL.restore("a"), lambda: MODEL.tag("a")):
        with pytest.raises(
            ConfigError, match="this model predicts the target of a source: it is for `charlm translate`"
        ):
            use()
    with pytest.raises(ConfigError, match="translating needs a model of the task 'pairs'"):
        random_classifier().translate("a")
    for name, value in (("beam", 0), ("best", 0), ("length_exponent", -1)):
        with pytest.raises(ConfigError, match=f"`{name}` is {value}"):
            MODEL.translate("a", **{name: value})


def test_comparison_counts_any_target_and_edits_to_the_nearest() -> None:
    comparison = Comparison("symbol")
    comparison.add(["A B", "C"], Candidate("C", ("C",), 0.0))
    comparison.add(["A B C", "X Y Z V"], Candidate("A C", ("A", "C"), 0.0))
    assert (comparison.sources, comparison.right, comparison.errors, comparison.units) == (2, 1, 1, 4)
    assert comparison.accuracy == 0.5
    assert comparison.unit_error_rate == 0.25


@given(st.text("ab", max_size=6), st.text("ab", max_size=6), st.text("ab", max_size=6))
@settings(max_examples=60, deadline=None)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
