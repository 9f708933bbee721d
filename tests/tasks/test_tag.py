"""Tagging: labels of tokens from all of their characters, valid, and the same in any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import TextConfig, TrainConfig
from charlm.errors import ConfigError
from charlm.tasks import find_task
from charlm.tasks.spans import spans_of
from charlm.tasks.tag import TokenTagger
from charlm.tasks.tuning import TaskTuning
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.windows import batches_over
from tests.tasks.tiny import random_tagger

MODEL = random_tagger()
SENTENCES = st.lists(st.lists(st.text(st.sampled_from("abAB.é\n "), min_size=1, max_size=5), max_size=6), max_size=5)


@given(SENTENCES)
@settings(max_examples=60, deadline=None)
def test_each_token_has_a_label_and_sequences_are_valid(sentences: list[list[str]]) -> None:
    found = list(MODEL.tag_each(sentences))
    assert [list(one.tokens) for one in found] == sentences
    for one in found:
        assert len(one.labels) == len(one.probabilities) == len(one.tokens)
        assert all(0 < p <= 1 for p in one.probabilities)
        before = "O"
        for label in one.labels:
            assert not label.startswith("I-") or before[2:] == label[2:]
            before = label
        assert list(one.spans) == spans_of(one.labels, bio=True)


@pytest.mark.parametrize("tuning", [TaskTuning(first_texts=1, sentences_per_batch=2), TaskTuning(windows_per_batch=1)])
def test_labels_do_not_depend_on_the_batch(tuning: TaskTuning) -> None:
    rng = np.random.default_rng(0)
    sentences = [["abcdABC"[k % 7] * (1 + k % 3) for k in rng.integers(0, 50, n)] for n in (3, 9, 1, 0, 5, 2)]
    tagger = TokenTagger(MODEL.tagger._network, MODEL.vocabulary, MODEL.labels, tuning)
    for one, other in zip(tagger.tag(sentences), MODEL.tag_each(sentences), strict=True):
        assert one.labels == other.labels
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=1e-4)


def test_score_of_a_token_is_the_mean_over_its_characters() -> None:
    tokens = ["abA", "B"]
    ids = np.concatenate([[0], MODEL.vocabulary.encode("abA B"), [0]]).astype(np.intp)[:, None]
    log_probs = MODEL.tagger._network.predict(ids, ids)[1:-1, :, 0]
    scores = np.stack([log_probs[:3].mean(axis=0), log_probs[4]])
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    (found,) = MODEL.tag_each([tokens])
    for row, label, probability in zip(expected, found.labels, found.probabilities, strict=True):
        assert probability == pytest.approx(row[MODEL.labels.index(label)], rel=1e-4)


def test_long_sentence_is_read_in_windows_with_context() -> None:
    tuning = TaskTuning(window=6, margin=4)
    tagger = TokenTagger(MODEL.tagger._network, MODEL.vocabulary, MODEL.labels, tuning)
    text = MODEL.vocabulary.encode("abcd ABC abc d. aA")
    (found,) = tagger._log_probs([text])
    window = np.concatenate([[0], text[2:16], [0]]).astype(np.intp)[:, None]
    expected = MODEL.tagger._network.predict(window, window)[5:11, :, 0]
    np.testing.assert_allclose(found[6:12], expected, rtol=0, atol=1e-5)


def test_labels_that_are_not_bio_are_the_best_of_each_token() -> None:
    model = random_tagger(labels=("NN", "VB", "I-X"))
    (found,) = model.tag_each([["ab", "cd", "A", "B", "abc"]])
    assert not model.tagger.bio
    assert len(set(found.labels)) > 1
    assert all(p >= 1 / 3 for p in found.probabilities)


def test_text_is_split_into_tokens() -> None:
    found = MODEL.tag("abc, d.")
    assert found.tokens == ("abc", ",", "d", ".")
    with pytest.raises(ConfigError, match="it is for `charlm tag`"):
        MODEL.sample()


def test_each_character_of_a_token_learns_its_label(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Ann\tB\nran\tO\n\nUp\tO\n\n" * 3)
    task = find_task("tag")
    config = task.text(TextConfig(task="tag", min_count=1))
    corpus = Corpus.read([path], config, hold_out=HoldOut(0), scheme=task.scheme(config, None))
    batches = batches_over(corpus, TrainConfig(batch=1, bptt=40), bidirectional=True)
    batches.unk_rate = 0.0
    inputs, targets, weights = batches.next()
    assert weights is not None
    tokens = np.array(corpus.vocabulary.tokens)[inputs[:, 0]]
    shown = [
        corpus.labels[target] if weight else "-" for target, weight in zip(targets[:, 0], weights[:, 0], strict=True)
    ]
    text = "|".join(tokens)
    assert text.startswith("<EOS>|A|n|n| |r|a|n|<EOS>|U|p|<EOS>")
    assert shown[:11] == ["-", "B", "B", "B", "-", "O", "O", "O", "-", "O", "O"]
