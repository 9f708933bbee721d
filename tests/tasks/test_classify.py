"""Classifying: the label is read at the end of a text, in any batch; rows become symbols; confusions are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import TrainingRecord
from charlm.config import TextConfig, TrainConfig
from charlm.errors import ConfigError, CorpusError
from charlm.model import LanguageModel
from charlm.tasks import find_task
from charlm.tasks.classify import END, Classifier, Confusion
from charlm.tasks.tuning import TaskTuning
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.rows import Row
from charlm.text.windows import batches_over
from tests.tasks.tiny import random_classifier, random_restorer

MODEL = random_classifier()
TEXTS = ["abc", "", "dddd a", "a\nb", "cccccccccccccccc", "xyz", "abc"]


def at_the_end(model: LanguageModel, text: str) -> np.ndarray:
    """Return log p of each label of a text that is read alone, one character after another."""
    ids = model.vocabulary.encode(f"{text.replace(chr(10), ' ')}{END}")
    network = model.classifier._network
    log_probs, _ = network.predict(np.concatenate([[0], ids])[:, None].astype(np.intp), network.zero_state(1))
    return log_probs[-1, :, 0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tuning", [TaskTuning(), TaskTuning(first_texts=1, texts_per_batch=2)])
def test_labels_are_those_at_the_end_of_each_text_in_any_batch(threads: int, tuning: TaskTuning) -> None:
    classifier = Classifier(MODEL.classifier._network, MODEL.vocabulary, MODEL.labels, tuning)
    found = list(classifier.classify(TEXTS * 3, threads))
    assert [one.text for one in found] == TEXTS * 3
    for one in found:
        expected = at_the_end(MODEL, one.text)
        probabilities = [one.probabilities[label] for label in MODEL.labels]
        np.testing.assert_allclose(probabilities, np.exp(expected), rtol=1e-4)
        assert one.label == MODEL.labels[int(expected.argmax())]
        assert list(one.probabilities.values()) == sorted(one.probabilities.values(), reverse=True)
        assert one.probability == max(one.probabilities.values())
    assert len({one.label for one in found}) > 1


def test_first_texts_are_answered_before_all_are_read() -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for number in range(100):
            read.append(str(number))
            yield "abc"

    next(MODEL.classify_each(source()))
    assert len(read) == TaskTuning.first_texts


def test_mixture_averages_the_probabilities_of_its_members() -> None:
    mixture = random_classifier(members=2)
    each = [
        LanguageModel(mixture.network, one, mixture.vocabulary, mixture.text, labels=mixture.labels)
        for one in mixture.members
    ]
    for label, probability in mixture.classify("abca").probabilities.items():
        mean = np.mean([model.classify("abca").probabilities[label] for model in each])
        assert probability == pytest.approx(mean, rel=1e-5)


def test_description_of_a_model_names_its_task_and_losses_per_label() -> None:
    for model, task in ((MODEL, "classify, 3 labels"), (random_restorer(), "restore, 6 labels")):
        model.training = TrainingRecord(valid_loss=0.25)
        assert task in repr(model)
        assert repr(model).endswith("held-out 0.25 nats/label>")


def test_other_uses_of_the_model_are_refused() -> None:
    for use in (MODEL.sample, lambda: MODEL.score("a"), lambda: MODEL.restore("a"), lambda: MODEL.gradients("a" * 99)):
        with pytest.raises(ConfigError, match="it is for `charlm classify`"):
            use()
    with pytest.raises(ConfigError, match="several strings"):
        list(MODEL.classify_each("abc"))


class TestCorpus:
    def read(self, folder: Path, content: str) -> Corpus:
        path = folder / "rows.tsv"
        path.write_text(content)
        task = find_task("classify")
        config = task.text(TextConfig(task="classify", min_count=1))
        assert config.lines
        return Corpus.read([path], config, hold_out=HoldOut(0), scheme=task.scheme(config, None))

    def test_only_the_end_of_a_text_counts(self, tmp_path: Path) -> None:
        corpus = self.read(tmp_path, "x\tab\ny\tc\nx\t\n" * 10)
        assert corpus.labels == ("x", "y")
        batches = batches_over(corpus, TrainConfig(batch=2, bptt=30))
        batches.unk_rate = 0.0
        counted = 0
        for _ in range(batches.windows_per_epoch):
            inputs, targets, weights = batches.next()
            assert weights is not None
            tokens = np.array(corpus.vocabulary.tokens)[inputs]
            assert set(tokens[weights > 0]) == {END}
            before = np.roll(tokens, 1, axis=0)
            labels = np.array(corpus.labels)[targets]
            assert set(zip(before[weights > 0], labels[weights > 0], strict=True)) <= {
                ("b", "x"), ("c", "y"), ("<EOS>", "x"),
            }  # fmt: skip
            counted += int(weights.sum())
        assert counted == 30

    def test_texts_of_one_label_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="the training text has 1 label; there is something to learn from 2"):
            self.read(tmp_path, "x\tab\nx\tc\n")


class TestConfusion:
    def test_rows_are_true_labels_and_columns_predicted_ones(self) -> None:
        confusion = Confusion(["a", "b"])
        for true, predicted in (("a", "a"), ("a", "b"), ("a", "a"), ("b", "b")):
            confusion.add(confusion.number(Row(true, "", 1), "f"), predicted)
        assert confusion.counts.tolist() == [[2, 1], [0, 1]]
        assert confusion.accuracy == 0.75
        assert confusion.metrics(0) == (1.0, pytest.approx(2 / 3), pytest.approx(0.8))

    def test_unknown_label_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(CorpusError, match=r"f\.tsv: line 7: the model has no label 'c'; it has a, b"):
            Confusion(["a", "b"]).number(Row("c", "", 7), "f.tsv")
