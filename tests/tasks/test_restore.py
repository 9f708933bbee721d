"""Restoring changes only what the task restores, wherever the text is cut, whatever the network predicts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.errors import ConfigError
from charlm.model import LanguageModel
from charlm.tasks.restore import Restored, Restorer
from charlm.tasks.restore_evaluation import Evaluation
from charlm.tasks.tuning import TaskTuning
from charlm.text.stripping import Stripper
from tests.tasks.tiny import LABELS, random_restorer

MODEL = random_restorer()
TEXTS = st.one_of(st.text(), st.text(st.sampled_from("abcelst1 .\nÉłéБ,\u0301\r")))
SMALL = TaskTuning(window=7, margin=3, windows_per_batch=2)


def restorer_of(model: LanguageModel, tuning: TaskTuning) -> Restorer:
    return Restorer(model.restorer._network, model.vocabulary, model.labels, model.text, tuning=tuning)


def joined(parts: Iterator[Restored]) -> str:
    return "".join(part.text for part in parts)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_stripped_result_is_the_stripped_text(text: str) -> None:
    strip = Stripper.of(MODEL.text.remove).strip
    assert strip(MODEL.restore(text)) == strip(text)


@given(st.lists(TEXTS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_result_does_not_depend_on_chunks(chunks: list[str]) -> None:
    small = restorer_of(MODEL, SMALL)
    whole = list(small.restore(["".join(chunks)]))
    assert list(small.restore(chunks)) == whole
    assert "".join(part.original for part in whole) == "".join(chunks)


@pytest.mark.parametrize("windows_per_batch", [1, 3, 32])
def test_result_does_not_depend_on_the_windows_read_at_a_time(windows_per_batch: int) -> None:
    text = "".join(np.random.default_rng(0).choice(list("abcelst1 .\n"), 200))
    expected = joined(restorer_of(MODEL, SMALL).restore([text]))
    tuning = TaskTuning(window=7, margin=3, windows_per_batch=windows_per_batch)
    assert joined(restorer_of(MODEL, tuning).restore([text])) == expected
    assert expected != text


def test_labels_are_those_of_windows_with_their_context() -> None:
    """Each label is predicted from the margin on both sides, and EOS beyond the ends of the text."""
    text = "abcels" * 5
    ids = MODEL.vocabulary.encode(text)
    found = restorer_of(MODEL, SMALL)._predict(ids, 0, len(ids))
    padded = np.concatenate([np.zeros(4, int), ids, np.zeros(9, int)])
    for start in range(0, len(ids), 7):
        window = padded[start : start + 7 + 2 * 4, None]
        log_probs = MODEL.restorer._network.predict(window, window)[4:11, :, 0]
        np.testing.assert_allclose(found[start : start + 7], np.exp(log_probs[: len(ids) - start]), rtol=1e-5)


def test_marks_and_capitals_that_are_there_stay() -> None:
    text = "Éa ł. ÉÉ" * 20
    for part in MODEL.restore_each([text]):
        for change in part.changes:
            assert "É" not in change.original or "É" in change.restored
            assert "ł" not in change.original or change.restored[0] in "łŁ"


def test_addresses_numbers_and_unknown_characters_stay() -> None:
    text = "as http://ab.cd/as?tel=1 www.abc.es a@b.se БЖ 11111 11111\n" * 8
    restored = MODEL.restore(text)
    for kept in ("http://ab.cd/as?tel=1", "www.abc.es", "a@b.se", "БЖ", "11111"):
        assert restored.count(kept) == text.count(kept), kept
    assert restored != text


def test_min_probability_makes_only_sure_changes() -> None:
    text = "abcelst abcelst\n" * 20
    every = [change for part in MODEL.restore_each([text]) for change in part.changes]
    sure = [change for part in MODEL.restore_each([text], min_probability=0.6) for change in part.changes]
    assert sure == [change for change in every if change.probability >= 0.6]
    assert 0 < len(sure) < len(every)
    with pytest.raises(ConfigError, match=r"`min_probability` is 1\.5"):
        MODEL.restore(text, min_probability=1.5)


def test_changes_tell_what_is_where() -> None:
    text = "abc els\n" * 100
    parts = list(restorer_of(MODEL, SMALL).restore([text]))
    assert len(parts) > 10
    for part in parts:
        for change in part.changes:
            assert text[change.offset : change.offset + len(change.original)] == change.original
    assert all(part.text == "".join(piece + new for piece, new in part.pieces()) for part in parts)


def test_mixture_averages_the_probabilities_of_its_members() -> None:
    mixture = random_restorer(members=2)
    members = [
        LanguageModel(mixture.network, one, mixture.vocabulary, mixture.text, labels=LABELS) for one in mixture.members
    ]
    window = np.array([[0], [2], [3], [5], [0]])
    found = np.exp(mixture.restorer._network.predict(window, window))
    each = [np.exp(member.restorer._network.predict(window, window)) for member in members]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-5)


def test_words_are_known_wherever_a_window_ends() -> None:
    """The counts are stronger than an untrained network, for each word and each size of the windows."""
    model = random_restorer("marks", characters="abcelst1 .\n")
    forms = {"łetá": 10**50, "ból": 10**50}
    for window in range(9, 14):
        tuning = TaskTuning(window=window, margin=3, windows_per_batch=1)
        restorer = Restorer(model.restorer._network, model.vocabulary, model.labels, model.text, forms, tuning)
        text = "leta bol. " * 12
        assert joined(restorer.restore([text])).count("łetá") == 12
        assert list(restorer.restore(text)) == list(restorer.restore([text]))


def test_empty_text_stays_empty() -> None:
    assert MODEL.restore("") == ""
    assert MODEL.restore(" .") == " ."


def test_model_of_another_use_says_what_it_is_for() -> None:
    for use in (MODEL.sample, lambda: MODEL.score("a"), lambda: MODEL.fill("a_"), lambda: MODEL.proof("a")):
        with pytest.raises(ConfigError, match=r"this model restores what was removed .*: it is for `charlm restore`"):
            use()


class TestEvaluation:
    def evaluated(self, text: str, restored: str) -> Evaluation:
        class Fixed(Restorer):
            def restore(self, chunks: object, min_probability: float = 0.0) -> Iterator[Restored]:
                yield Restored(restored, 0, ())

        stripper = Stripper.of("marks,spaces")
        evaluation = Evaluation(stripper)
        evaluation.add(Fixed.__new__(Fixed), [text])
        return evaluation

    def test_words_and_kinds_are_counted(self) -> None:
        found = self.evaluated("žluť kůň je tu 1\n", "žluť kůnje tu 1\n")
        assert (found.words, found.right, found.unchanged) == (4, 2, 0)
        marks, spaces = found.kinds["marks"], found.kinds["spaces"]
        assert (marks.actual, marks.predicted, marks.right) == (4, 3, 3)
        assert (spaces.actual, spaces.predicted, spaces.right) == (4, 3, 3)
        assert (marks.precision, marks.recall) == (1.0, 0.75)
        assert marks.f1 == pytest.approx(6 / 7)
