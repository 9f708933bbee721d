"""Models of texts with labels: one label, all labels by Bayes' rule, samples, and what does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.config import TextConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError, CorpusError
from charlm.tasks import find_task
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.windows import batches_over
from tests.tasks.tiny import random_classifier, random_conditional

MODEL = random_conditional()
ENSEMBLE = random_conditional(members=2)
SMALL = random_conditional(labels=("x", "y"), counts=(3, 1), characters="ab", scale=2)
TEXTS = ["abc", "", "dddd a", "cab", "a\nb", "xy a", "abc"]
WORDS = st.text("abcdz ", max_size=6)


def log_sum(values: list[float]) -> float:
    return float(np.logaddexp.reduce(values))


class TestOneLabel:
    def test_priors_are_the_fractions_of_the_training_texts(self) -> None:
        assert MODEL.labels == ("one", "two", "three")
        assert MODEL.priors == (0.6, 0.3, 0.1)
        assert random_conditional(counts=()).priors == pytest.approx((1 / 3,) * 3)
        assert random_classifier().priors == ()

    @pytest.mark.parametrize("model", [MODEL, ENSEMBLE])
    def test_model_of_a_label_is_a_language_model(self, model: charlm.LanguageModel, tmp_path: Path) -> None:
        one = model.conditioned("two")
        assert (one.labels, one.priors, one.text.task) == ((), (), "language")
        one.save(tmp_path / "two.safetensors")
        loaded = charlm.load(tmp_path / "two.safetensors")
        assert loaded.score("abc").log_prob == model.score("abc", label="two").log_prob
        assert len({model.score("abc", label=label).log_prob for label in model.labels}) == 3

    def test_methods_take_a_label(self) -> None:
        one = MODEL.conditioned("three")
        assert MODEL.sample(n=3, seed=1, label="three") == one.sample(n=3, seed=1)
        assert "".join(MODEL.stream(seed=1, label="three")) == one.sample(seed=1)[0].text
        assert list(MODEL.score_many(TEXTS, label="three")) == list(one.score_many(TEXTS))
        assert list(MODEL.score_characters("ab", label="three")) == list(one.score_characters("ab"))
        assert MODEL.next("a", label="three") == one.next("a")

    def test_samples_of_a_label_have_the_log_probability_of_their_score(self) -> None:
        for sample in MODEL.sample(n=20, seed=4, length=30, label="two"):
            score = MODEL.score(sample.text, label="two", end=sample.has_ended)
            assert sample.log_prob == pytest.approx(score.log_prob, abs=1e-4)

    def test_unknown_label_is_refused_with_the_known_ones(self) -> None:
        for use in (MODEL.sample, MODEL.next, MODEL.any_label.sample, lambda label: MODEL.score("a", label=label)):
            with pytest.raises(ConfigError, match="the model has no label 'four'; it has one, two, three"):
                use(label="four")

    def test_models_without_labels_refuse_one(self) -> None:
        plain = MODEL.conditioned("one")
        for model in (plain, charlm.Mixture([plain, plain]), random_classifier()):
            with pytest.raises(ConfigError, match="`label` is for models that were trained with labels"):
                model.sample(label="one")
        with pytest.raises(ConfigError, match="`label` is for models that were trained with labels"):
            plain.conditioned("one")

    def test_methods_of_one_label_need_it(self) -> None:
        for use in (MODEL.next, lambda: next(MODEL.score_characters("a")), lambda: charlm.Mixture([MODEL]).sample()):
            with pytest.raises(ConfigError, match="this model needs a `label`, one of one, two, three"):
                use()

    def test_other_uses_name_the_commands_of_the_model(self) -> None:
        for use in (lambda: MODEL.fill("a_"), lambda: MODEL.gradients("a" * 99), lambda: MODEL.pseudo_score("a")):
            with pytest.raises(ConfigError, match=r"it is for `charlm sample`, .* and `charlm classify`"):
                use()

    def test_mixture_takes_the_label_for_its_models_with_labels(self) -> None:
        plain = MODEL.conditioned("one")
        mixture = charlm.Mixture([MODEL, charlm.Mixture([plain, ENSEMBLE])], [1, 3])
        expected = charlm.Mixture(
            [MODEL.conditioned("two"), charlm.Mixture([plain, ENSEMBLE.conditioned("two")])], [1, 3]
        )
        assert mixture.score("abc", label="two").log_prob == expected.score("abc").log_prob
        assert mixture.sample(seed=2, label="two") == expected.sample(seed=2)


class TestAnyLabel:
    @pytest.mark.parametrize("model", [MODEL, ENSEMBLE])
    @pytest.mark.parametrize("end", [True, False])
    @pytest.mark.parametrize("context", ["", "ab", "cc\nab"])
    def test_score_sums_over_the_labels(self, model: charlm.LanguageModel, end: bool, context: str) -> None:
        last_line = context.rpartition("\n")[2]
        for text in TEXTS:
            with_context, alone = (
                log_sum([
                    np.log(prior) + model.score(last_line, label=label, end=False).log_prob
                    + (model.score(text, label=label, context=context, end=end).log_prob if scored else 0)
                    for label, prior in zip(model.labels, model.priors, strict=True)
                ])
                for scored in (True, False)
            )  # fmt: skip
            found = model.score(text, end=end, context=context)
            assert found.log_prob == pytest.approx(with_context - alone, abs=1e-5)
            assert found.log_probs is not None
            assert found.log_probs.sum() == pytest.approx(found.log_prob)
            (many,) = model.score_many([text], end=end, context=context)
            assert many.log_prob == pytest.approx(found.log_prob, abs=1e-5)
            assert (many.characters, many.unknown) == (found.characters, found.unknown)
            assert many.unknown_log_prob == pytest.approx(found.unknown_log_prob)

    def test_probabilities_of_all_texts_sum_to_one(self) -> None:
        """All texts of up to two characters, and all beginnings of longer ones."""
        tokens = [*"ab", "\ufffd"]  # the last one is UNK
        ended = ["".join(text) for n in range(3) for text in product(tokens, repeat=n)]
        open_ = ["".join(text) for text in product(tokens, repeat=3)]
        total = sum(np.exp(score.log_prob) for score in SMALL.score_many(ended))
        total += sum(np.exp(score.log_prob) for score in SMALL.score_many(open_, end=False))
        assert total == pytest.approx(1, abs=1e-5)

    @given(WORDS, WORDS)
    def test_score_follows_the_chain_rule(self, first: str, second: str) -> None:
        whole = MODEL.score(first + second).log_prob
        parts = MODEL.score(first, end=False).log_prob + MODEL.score(second, context=first).log_prob
        assert whole == pytest.approx(parts, abs=1e-4)

    @given(st.lists(WORDS, max_size=5))
    def test_classification_is_bayes_rule(self, texts: list[str]) -> None:
        found = list(MODEL.classify_each(texts))
        assert [one.text for one in found] == texts
        for one in found:
            joint = {
                label: np.log(prior) + MODEL.score(one.text, label=label).log_prob
                for label, prior in zip(MODEL.labels, MODEL.priors, strict=True)
            }
            for label, log_joint in joint.items():
                expected = np.exp(log_joint - log_sum(list(joint.values())))
                assert one.probabilities[label] == pytest.approx(expected, abs=1e-5)
            assert one.label == next(iter(one.probabilities))

    def test_first_text_is_classified_before_the_second_is_read(self) -> None:
        read: list[str] = []

        def source() -> Iterator[str]:
            for number in range(9):
                read.append(str(number))
                yield "abc"

        next(MODEL.classify_each(source()))
        assert len(read) == 1

    def test_labels_of_samples_have_their_priors(self) -> None:
        labels = [sample.label for sample in MODEL.sample(n=2000, seed=7, length=1)]
        fractions = [labels.count(label) / 2000 for label in MODEL.labels]
        np.testing.assert_allclose(fractions, MODEL.priors, atol=0.04)  # four standard deviations

    def test_labels_of_samples_fit_the_prompt(self) -> None:
        posterior = np.exp(MODEL.any_label.log_posterior("dd\nab"))
        assert np.abs(posterior - MODEL.priors).max() > 0.1
        labels = [sample.label for sample in MODEL.sample("dd\nab", n=2000, seed=7, length=1)]
        np.testing.assert_allclose([labels.count(label) / 2000 for label in MODEL.labels], posterior, atol=0.045)

    def test_sample_depends_on_the_seed_and_its_number_alone(self) -> None:
        many = MODEL.sample(n=50, seed=3, length=20)
        texts = [(sample.label, sample.text) for sample in many]
        for n in (1, 2, 40):
            assert [(sample.label, sample.text) for sample in MODEL.sample(n=n, seed=3, length=20)] == texts[:n]
        endless = MODEL.sample_each(seed=3, length=20)
        assert [next(endless).text for _ in range(50)] == [text for _, text in texts]
        assert "".join(MODEL.stream(seed=3, length=20)) == texts[0][1]
        for sample in many[:5]:
            score = MODEL.score(sample.text, label=sample.label, end=sample.has_ended)
            assert sample.log_prob == pytest.approx(score.log_prob, abs=1e-4)

    def test_texts_must_match_whatever_their_label(self) -> None:
        samples = MODEL.sample(n=30, seed=1, match="a[bc]{2}")
        assert {sample.text for sample in samples} <= {"abb", "abc", "acb", "acc"}
        assert len({sample.label for sample in samples}) > 1
        with pytest.raises(ConfigError, match="`exact` draws from the texts of one label; pass `label`"):
            MODEL.sample(match="a[bc]{2}", exact=True)
        assert MODEL.sample(match="a[bc]{2}", exact=True, label="one", temperature=1)[0].text[0] == "a"

    @pytest.mark.parametrize(("settings", "message"), [({"n": 0}, "`n` is 0"), ({"seed": -1}, "`seed` is -1")])
    def test_wrong_settings_are_refused_at_once(self, settings: dict[str, int], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            MODEL.sample_each(**settings)  # type: ignore[arg-type]

    def test_model_in_use_can_be_pickled(self) -> None:
        assert MODEL.score("abc").log_prob == pickle.loads(pickle.dumps(MODEL)).score("abc").log_prob
        assert "conditional, 3 labels" in repr(MODEL)


class TestCorpus:
    def read(self, path: Path, content: str, valid: float = 0) -> Corpus:
        path.write_text(content)
        task = find_task("conditional")
        config = task.text(TextConfig(task="conditional", min_count=1))
        return Corpus.read([path], config, hold_out=HoldOut(valid), scheme=task.scheme(config, None))

    def test_each_input_has_the_label_of_its_text(self, tmp_path: Path) -> None:
        corpus = self.read(tmp_path / "rows.tsv", "x\tab\ny\tcd<e\nx\ta\n" * 10)
        assert (corpus.labels, corpus.label_counts) == (("y", "x"), (10, 20))
        batches = batches_over(corpus, TrainConfig(batch=3, bptt=11))
        batches.unk_rate = 0.0
        texts: list[str] = []
        for _ in range(batches.windows_per_epoch):
            inputs, targets, weights = batches.next()
            counts = np.ones(inputs.shape) if weights is None else weights
            tokens = np.array(corpus.vocabulary.tokens)
            for column in range(inputs.shape[1]):
                for i, t, w in zip(inputs[:, column], targets[:, column], counts[:, column], strict=True):
                    if w:
                        token, label = tokens[i // 2], corpus.labels[i % 2]
                        texts.append(f"\n{label}" if token == "<EOS>" else label)
                        texts.append(tokens[t])
        found = sorted("".join(texts).split("\n")[1:])
        assert found == sorted(["xaxbx<EOS>", "ycydy<yey<EOS>", "xax<EOS>"] * 10)

    def test_some_characters_are_learned_as_unknown(self, tmp_path: Path) -> None:
        corpus = self.read(tmp_path / "rows.tsv", "x\tab\ny\tcd\n" * 30)
        batches = batches_over(corpus, TrainConfig(batch=8, bptt=20))
        batches.unk_rate = 0.2
        inputs, targets, _ = batches.next()
        unknown = targets == 1
        assert 0.02 < unknown.mean() < 0.4
        following = inputs[1:] // 2
        assert set(following[unknown[:-1] & (following != 0)].tolist()) == {1}

    def test_labels_are_the_names_of_files(self, tmp_path: Path) -> None:
        for name in ("prose.txt", "verse.txt"):
            (tmp_path / name).write_text("abc\n")
        task = find_task("conditional")
        config = task.text(TextConfig(task="conditional"))
        paths = [tmp_path / "prose.txt", tmp_path / "verse.txt"]
        assert Corpus.read(paths, config, hold_out=HoldOut(0), scheme=task.scheme(config, None)).labels == (
            "prose",
            "verse",
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("x\tab\nx\tc\n", "the training text has 1 label; there is something to learn from 2"),
            ("x\tab\ny\t\n", r"rows\.tsv: line 2 has the label 'y' and no text after it"),
            ("x\tab\n\tc\n", r"rows\.tsv: line 2 has no label before its tab"),
            ("x\tab\nabc\n", r"rows\.tsv: line 2 has no tab; expected: label TAB text"),
        ],
    )
    def test_bad_rows_are_refused_with_file_and_line(self, tmp_path: Path, content: str, message: str) -> None:
        with pytest.raises(CorpusError, match=message):
            self.read(tmp_path / "rows.tsv", content)

    def test_label_that_is_only_held_out_does_not_count(self, tmp_path: Path) -> None:
        content = "".join(f"{'xy'[n % 2]}\t{n}\n" for n in range(40)) + "once\tz\n"
        for seed in range(40):
            (tmp_path / "rows.tsv").write_text(content)
            task = find_task("conditional")
            config = task.text(TextConfig(task="conditional"))
            scheme = task.scheme(config, None)
            corpus = Corpus.read([tmp_path / "rows.tsv"], config, hold_out=HoldOut(0.3, seed=seed), scheme=scheme)
            if "once" not in corpus.labels:
                break
        assert corpus.conditions is not None
        ids = np.asarray(corpus.valid_ids)
        is_text = np.ones((len(ids) - 1, 1), bool)
        inputs, _, counts = corpus.conditions.windows(ids[:-1, None], ids[1:, None], is_text)
        assert counts.sum() == len(ids) - 3  # "z" and the end of its line
        assert inputs.max() < len(corpus.vocabulary) * 2
        assert sum(corpus.label_counts) == np.count_nonzero(np.asarray(corpus.train_ids) == 0) - 1


def save_and_load(model: charlm.LanguageModel, path: Path) -> charlm.LanguageModel:
    model.save(path)
    return charlm.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("one", "two")}, "its network reads 3 labels, and it has 2"),
        ({"training": (1, 2)}, "its network reads 3 labels, and its training record counts 2"),
        ({"training": (1, 2, 0)}, "the label_counts in its training record are no list of counts"),
        ({"text": "language"}, "the task 'language' does not fit 3 labels"),
        ({"text": "classify"}, "the task 'classify' needs a network with `outputs` 3"),
    ],
)
def test_file_whose_labels_do_not_fit_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    model = random_conditional()
    model.labels = change.get("labels", model.labels)  # type: ignore[assignment]
    model.training = charlm.TrainingRecord(label_counts=change.get("training", ()))  # type: ignore[arg-type]
    model.text = TextConfig(task=str(change.get("text", "conditional")), lines=True)
    with pytest.raises(CheckpointError) as refused:
        save_and_load(model, tmp_path / "m.safetensors")
    assert message in str(refused.value)
