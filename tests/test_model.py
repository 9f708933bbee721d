"""LanguageModel: sampling, scoring, saving and loading."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import TrainingRecord
from charlm.config import NetworkConfig, SampleConfig, TextConfig
from charlm.errors import CheckpointError, ConfigError, ModelExistsError
from charlm.model import LanguageModel, load
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.nn.networks import make_network
from charlm.sampling.sampler import Sample
from charlm.scoring.ranking import classify, rank
from charlm.text.vocabulary import Vocabulary

LETTERS = "abcdefgh"


@pytest.fixture(params=CELLS)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    """Return a two-layer model of lines with random weights."""
    return make(request.param, TextConfig(lines=True))


def make(cell: str, text: TextConfig, scale: float = 1.0, letters: str = LETTERS) -> LanguageModel:
    vocabulary = Vocabulary.build(dict.fromkeys(letters, 1))
    network = Network(NetworkConfig(cell, 6, 2), len(vocabulary))
    params = network.initial(np.random.default_rng(0))
    params.flat += np.random.default_rng(1).standard_normal(params.flat.size).astype(np.float32)
    params.flat *= scale
    return LanguageModel(network, params, vocabulary, text, TrainingRecord(steps=7, sources=("a", "b")))


def test_load_returns_the_saved_model(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    loaded = load(str(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(loaded.params.flat, model.params.flat)
    assert (loaded.config, loaded.vocabulary, loaded.text) == (model.config, model.vocabulary, model.text)
    assert loaded.training == model.training
    assert loaded.score("badge").log_prob == model.score("badge").log_prob
    assert loaded.sample(n=3, seed=1) == model.sample(n=3, seed=1)


def test_save_without_overwrite_refuses_an_existing_file(model: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_text("precious")
    with pytest.raises(ModelExistsError, match="`overwrite=True` replaces it"):
        model.save(path)
    assert path.read_text() == "precious"
    model.save(path, overwrite=True)
    assert load(path).training.steps == 7


def test_save_into_a_missing_folder_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder"):
        model.save(tmp_path / "no" / "m.safetensors")


def test_score_obeys_the_chain_rule(model: LanguageModel) -> None:
    total = model.score("badgecafe")
    parts = model.score("badge", end=False).log_prob + model.score("cafe", context="badge").log_prob
    assert total.log_prob == pytest.approx(parts, abs=1e-5)
    assert total.characters == len("badgecafe") + 1  # the end counts in a model of lines


def test_probabilities_of_all_continuations_sum_to_one(model: LanguageModel) -> None:
    """Continuations are every character, UNK and the end."""
    first = model.score("bad", end=False).log_prob
    onward = [model.score("bad" + c, end=False).log_prob for c in LETTERS + "?"]
    ends = model.score("bad", end=True).log_prob
    assert sum(math.exp(log_prob - first) for log_prob in [*onward, ends]) == pytest.approx(1, abs=1e-5)


def test_perplexity_of_a_uniform_model_is_the_vocabulary_size() -> None:
    model = make("gru", TextConfig(), scale=0.0)
    assert model.score("abba").perplexity == pytest.approx(len(LETTERS) + 2, rel=1e-6)


def test_character_scores_sum_to_the_text_score(model: LanguageModel) -> None:
    text = "fade?"
    each = list(model.score_characters(text))
    assert [c.character for c in each] == [*text, "<EOS>"]
    assert sum(c.log_prob for c in each) == pytest.approx(model.score(text).log_prob, abs=1e-5)
    assert [c.is_unknown for c in each] == [False] * 4 + [True, False]


def test_newline_in_a_model_of_lines_ends_a_line(model: LanguageModel) -> None:
    """The score of a text is the sum of the scores of its lines, in every scoring function."""
    apart = [model.score(line) for line in ("bad", "ca?fe", "ha")]
    log_prob, text = sum(score.log_prob for score in apart), "bad\nca?fe\nha"
    whole = model.score(text)
    assert (whole.characters, whole.unknown) == (sum(score.characters for score in apart), 1)
    assert whole.log_prob == pytest.approx(log_prob, abs=1e-5)
    characters = list(model.score_characters(text))
    assert sum(each.log_prob for each in characters) == pytest.approx(log_prob, abs=1e-5)
    assert [each.character for each in characters if each.is_unknown] == ["?"]
    assert model.score("ha", context="bad\n").log_prob == pytest.approx(apart[2].log_prob, abs=1e-5)
    assert model.sample("bad\n", n=3, seed=5) == model.sample("", n=3, seed=5)


def test_model_of_lines_never_draws_the_newline_of_running_text_before() -> None:
    """A model that was fine-tuned from running text has that token, and its lines would contain it."""
    model = make("gru", TextConfig(lines=True), letters="ab\n")
    newline = model.vocabulary.tokens.index("\n")
    model.params["head.bias"][newline] = 9  # far more probable than all others
    drawn = model.sample(n=50, seed=0, length=20)
    assert all(each.text and "\n" not in each.text for each in drawn)
    assert "\n" not in "".join(model.stream(seed=0, length=200))
    running = make("gru", TextConfig(), letters="ab\n")
    running.params["head.bias"][newline] = 9
    assert "\n" in running.sample(seed=0, length=20)[0].text


def test_samples_have_temperature_0_8_and_log_probabilities_of_the_model(model: LanguageModel) -> None:
    drawn = model.sample(n=20, seed=1, length=9)
    assert drawn == model.sample(n=20, seed=1, length=9, temperature=0.8)
    assert drawn != model.sample(n=20, seed=1, length=9, temperature=1.0)
    for each in drawn:
        score = model.score(each.text, end=each.has_ended)
        assert each.log_prob == pytest.approx(score.log_prob, abs=1e-4)


def test_newline_in_a_model_of_running_text_is_a_character() -> None:
    assert make("gru", TextConfig()).score("bad\nha").unknown == 1  # the newline is not in the vocabulary


def test_score_many_equals_single_scores(model: LanguageModel) -> None:
    texts = ["abc", "", "hhhhhhhh", "a?b"]
    for threads in (1, 2):
        many = list(model.score_many(iter(texts), threads=threads))
        assert [score.text for score in many] == texts
        for score, text in zip(many, texts, strict=True):
            assert score.log_prob == pytest.approx(model.score(text).log_prob, abs=1e-5, rel=1e-6)


@pytest.mark.parametrize("lines", [False, True])
def test_texts_prompts_contexts_and_stop_strings_are_normalised_like_the_training_text(lines: bool) -> None:
    """CR LF and CR become LF, and the Unicode normal form is that of the model."""
    model = make("gru", TextConfig(normalize="NFC", lines=lines), letters="ab\u00e9\n")
    raw, clean = "be\u0301\r\nae\u0301", "b\u00e9\na\u00e9"
    assert model.score(raw) == model.score(clean)
    assert model.score(raw).unknown == 0
    assert list(model.score_characters(raw)) == list(model.score_characters(clean))
    assert list(model.score_adaptively([raw])) == list(model.score_adaptively([clean]))
    for context in ("e\u0301", "b\r\ne\u0301", "b\r", raw):
        cleaned = context.replace("\r\n", "\n").replace("\r", "\n").replace("e\u0301", "\u00e9")
        assert model.score("ab", context=context) == model.score("ab", context=cleaned)
        assert list(model.score_characters("ab", context=context)) == list(
            model.score_characters("ab", context=cleaned)
        )
        assert model.sample(context, n=2, seed=1, length=9) == model.sample(cleaned, n=2, seed=1, length=9)
        drawn = "".join(model.stream(context, seed=1, length=9))
        assert drawn == "".join(model.stream(cleaned, seed=1, length=9))
        assert drawn == next(model.sample_each(context, seed=1, length=9)).text
    assert model.sample(seed=1, length=99, stop="e\u0301") == model.sample(seed=1, length=99, stop="\u00e9")
    assert model.sample(seed=1, length=99, stop="e\u0301")[0].text.endswith("\u00e9")
    for drawn in model.sample(n=9, length=9, contains="e\u0301"):
        assert "\u00e9" in drawn.text
    assert model.score("ab", context="a") != model.score("ab", context="e\u0301") != model.score("ab")
    model.refuse_unknown(raw)


def test_context_of_a_model_of_lines_is_its_last_line(model: LanguageModel) -> None:
    """A newline ends a line, which resets the state."""
    for context, last_line in (("cafe\nbad\n", ""), ("cafe\nba", "ba")):
        expected = model.score("ab", context=last_line).log_prob
        assert model.score("ab", context=context).log_prob == pytest.approx(expected, rel=1e-6)
        assert model.sample(context, n=3, seed=2, length=9) == model.sample(last_line, n=3, seed=2, length=9)
    assert model.score("ab") != model.score("ab", context="ba")


def test_classified_texts_are_normalised_for_each_model() -> None:
    texts, form = ["be\u0301\r\na"], {"letters": "ab\u00e9e\u0301\n"}
    composed, plain = make("gru", TextConfig(normalize="NFC"), **form), make("gru", TextConfig(), **form)
    found = next(classify([composed, plain], texts, context="ae\u0301\r\n"))
    expected = [
        composed.score("b\u00e9\na", context="a\u00e9\n", end=False).log_prob,
        plain.score("be\u0301\na", context="ae\u0301\n", end=False).log_prob,
    ]
    assert found.log_probs == pytest.approx(expected, rel=1e-6)
    assert expected[0] != pytest.approx(expected[1])


def test_classify_on_all_cores_equals_one_core(model: LanguageModel) -> None:
    texts, models = ["badge", "cafe"] * 20, [model, make("gru", TextConfig(lines=True), scale=0.5)]
    alone = [one.log_probs for one in classify(models, texts, threads=1)]
    for threads in (None, 0):
        every = [one.log_probs for one in classify(models, texts, threads=threads)]
        np.testing.assert_allclose(every, alone, rtol=1e-5)


def test_stream_equals_the_first_sample(model: LanguageModel) -> None:
    drawn = model.sample("ab", n=4, seed=3, length=30)
    assert "".join(model.stream("ab", seed=3, length=30)) == drawn[0].text
    assert len({sample.text for sample in drawn}) > 1
    assert all(set(sample.text) <= set(LETTERS) for sample in drawn)


def test_score_of_a_sample_equals_its_log_probability(model: LanguageModel) -> None:
    for sample in model.sample(n=5, seed=0, length=40):
        score = model.score(sample.text, end=sample.has_ended)
        assert score.log_prob == pytest.approx(sample.log_prob, abs=1e-4, rel=1e-6)


def test_sample_settings_override_a_config(model: LanguageModel) -> None:
    config = SampleConfig(temperature=0.5, length=9)
    assert model.sampling(config, {"length": 4}).temperature == 0.5
    assert len("".join(model.stream(seed=1, config=config, length=0))) == 0


@pytest.mark.parametrize(
    ("lines", "sources", "can_end"),
    [(False, ["a"], False), (False, ["a", "b"], True), (False, [], True), (True, ["a"], True)],
)
def test_sample_ends_only_if_the_model_learned_ends(lines: bool, sources: list[str], can_end: bool) -> None:
    """One running text has no learned end, because EOS is only an input there. No text is empty."""
    model = make("rnn", TextConfig(lines=lines))
    model.training = TrainingRecord(sources=tuple(sources))
    model.params["head.bias"][model.vocabulary.eos] = 50
    drawn = model.sample(n=3, seed=0, length=7)
    assert [(len(each.text), each.has_ended) for each in drawn] == [(1, True) if can_end else (7, False)] * 3
    assert len("".join(model.stream(seed=0, length=7))) == (1 if can_end else 7)
    assert not next(model.sample_each(seed=0, length=7, can_end=False)).has_ended
    assert model.sample(seed=0, length=7, can_end=True)[0].has_ended


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m.sample(n=0), "`n` is 0"),
        (lambda m: m.sample(seed=-1), "`seed` is -1"),
        (lambda m: m.stream(temperature=-0.1), "`temperature` is -0.1"),
        (lambda m: m.stream(stop=""), "`stop` is ''"),
    ],
)
def test_setting_out_of_range_is_refused(
    model: LanguageModel, call: Callable[[LanguageModel], object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        call(model)


def test_text_is_brought_into_the_normal_form_of_the_model() -> None:
    vocabulary = Vocabulary.build({"é": 1, "a": 1})
    network = Network(NetworkConfig("rnn", 4, 1), len(vocabulary))
    params = network.initial(np.random.default_rng(0))
    model = LanguageModel(network, params, vocabulary, TextConfig(normalize="NFC"))
    decomposed = "ae\u0301"
    assert model.score(decomposed).unknown == 0
    assert model.score(decomposed).log_prob == model.score("aé").log_prob
    assert "".join(model.stream(decomposed, seed=2, length=9)) == "".join(model.stream("aé", seed=2, length=9))


def test_model_prints_its_shape_text_and_loss() -> None:
    model = make("lstm", TextConfig())
    model.training = TrainingRecord(sources=("corpora/dinosaurs.txt",), valid_loss=1.6187)
    assert repr(model) == "<LanguageModel lstm 6x2, 10 characters, dinosaurs.txt, held-out 1.62 nats/char>"
    model.training = TrainingRecord(sources=("a\x1b[31m.txt", "b", "c"))
    assert str(model) == "<LanguageModel lstm 6x2, 10 characters, a\\x1b[31m.txt and 2 more>"
    several = LanguageModel(model.network, [model.params] * 3, model.vocabulary, TextConfig(unit="word"))
    assert repr(several) == "<LanguageModel 3 x lstm 6x2, 10 words>"
    assert "<th>network</th><td>3 x lstm 6x2, " in several._repr_html_()


def test_model_in_a_notebook_is_a_table_without_html_of_others() -> None:
    model = make("lstm", TextConfig())
    model.training = TrainingRecord(sources=("<b>\u202e.txt", "b"), steps=1200, valid_loss=1.5)
    assert model._repr_html_() == (
        "<table><caption>charlm LanguageModel</caption>"
        f"<tr><th>network</th><td>lstm 6x2, {model.network.size:,} parameters</td></tr>"
        "<tr><th>trained on</th><td>&lt;b&gt;\\u202e.txt, b</td></tr>"
        "<tr><th>training</th><td>1,200 steps</td></tr>"
        "<tr><th>held-out loss</th><td>1.500 nats/char, 2.164 bits/char</td></tr>"
        "<tr><th>vocabulary</th><td>10 characters</td></tr></table>"
    )


def test_training_record_prints_without_its_hashes() -> None:
    assert "abcabc" not in repr(TrainingRecord(steps=5, line_hashes="abc" * 1000))


def test_sample_prints_as_its_text(model: LanguageModel) -> None:
    sample = model.sample(n=1, seed=1, length=3, can_end=False)[0]
    assert str(sample) == sample.text
    assert repr(sample) == f"<Sample {sample.text!r}, 3 characters, log p {sample.log_prob:.4g} nats>"
    assert Sample("<b>\n&", -1.0, True)._repr_html_() == '<pre style="white-space: pre-wrap">&lt;b&gt;\n&amp;</pre>'
    assert repr(Sample("ab" * 50, -1.0, True)) == f"<Sample '{'ab' * 18}a'..., 100 characters, log p -1 nats, ended>"


def test_score_is_a_sequence_of_characters(model: LanguageModel) -> None:
    text = "fade?"
    score, each = model.score(text), list(model.score_characters(text))
    assert len(score) == len(text) + 1
    assert [character for character, _ in score] == [*text, "<EOS>"]
    assert [log_prob for _, log_prob in score] == pytest.approx([one.log_prob for one in each], abs=1e-5)
    assert score[-1] == list(score)[-1]
    assert score[1:3] == list(score)[1:3]
    assert len(model.score(text, end=False)) == len(text)
    assert bool(model.score("", end=False))
    with pytest.raises(ConfigError, match="compute it with `score` for one text"):
        list(next(iter(model.score_many([text]))))


def test_score_of_words_is_a_sequence_of_words() -> None:
    vocabulary = Vocabulary.build({"the": 1, " ": 1, "end": 1}, unit="word")
    network = Network(NetworkConfig("gru", 4, 1), len(vocabulary))
    params = network.initial(np.random.default_rng(0))
    score = LanguageModel(network, params, vocabulary, TextConfig(unit="word")).score("the new end")
    assert [word for word, _ in score] == ["the", " ", "new", " ", "end"]
    assert "5 tokens (1 unknown)" in repr(score)
    assert "nats/word" in repr(score)


def test_pseudo_score_is_a_sequence_of_characters() -> None:
    config = NetworkConfig("gru", 4, 1, bidirectional=True)
    vocabulary = Vocabulary.build(dict.fromkeys(LETTERS, 1))
    network = make_network(config, len(vocabulary))
    model = LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig(lines=True))
    score = model.pseudo_score("bad\r\nha")
    assert [character for character, _ in score] == [*"bad\nha"]
    assert score[3] == ("\n", 0.0)
    assert sum(log_prob for _, log_prob in score) == pytest.approx(score.log_prob)
    assert score.characters == 5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("is_used", [False, True])
def test_copied_model_equals_the_original_and_is_independent(
    model: LanguageModel, duplicate: Callable[[LanguageModel], LanguageModel], is_used: bool
) -> None:
    if is_used:
        model.score("badge")
    twin = duplicate(model)
    assert twin.score("badge") == model.score("badge")
    assert twin.sample(n=3, seed=1) == model.sample(n=3, seed=1)
    assert (twin.training, twin.text, twin.vocabulary) == (model.training, model.text, model.vocabulary)
    twin.params["head.bias"][...] += 9  # a view of the copied vector
    assert twin.params.flat[-1] == model.params.flat[-1] + np.float32(9)


def test_pickled_model_is_as_large_as_its_weights() -> None:
    model = make("lstm", TextConfig())
    model.score("badge")
    model.score("badge" * 500)
    assert len(pickle.dumps(model)) < model.params.flat.nbytes + 5000


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: load(5), "`path` is 5; expected a path"),  # type: ignore[arg-type]
        (lambda m: m.save(5), "`path` is 5; expected a path"),
        (lambda m: m.score(5), "`text` is 5; expected a string"),
        (lambda m: m.score(b"ab"), "`text` is b'ab'; expected a string"),
        (lambda m: m.score("ab", end="no"), "`end` is 'no'; expected true or false"),
        (lambda m: m.score_many("ab"), "`texts` is 'ab'; expected several strings"),
        (lambda m: m.score_adaptively(5), "`texts` is 5; expected several strings"),
        (lambda m: list(m.score_many(["ab", None])), "`text` is None; expected a string"),
        (lambda m: m.score_characters("ab", alternatives="3"), "expected an integer, 0 or more"),
        (lambda m: m.sample(5), "`text` is 5; expected a string"),
        (lambda m: m.sample(n=2.5), "`n` is 2.5; expected an integer, 1 or more"),
        (lambda m: m.sample(temperature="hot"), "`temperature` is 'hot'; expected a number, 0 or more"),
        (lambda m: m.sample(temprature=1), "temprature: no such setting; did you mean temperature?"),
        (lambda m: m.sample(temp=1), "did you mean temperature?"),
        (lambda m: m.stream(max_length=9), "did you mean length?"),
        (lambda m: m.sample(stop=5), "`stop` is 5; expected a string, not empty"),
        (lambda m: m.sample(config={"top_k": 3}), "expected a SampleConfig"),
        (lambda m: m.fill("a_", beam="8"), "`beam` is '8'; expected an integer, 1 or more"),
        (lambda m: m.gradients("ab", back=1.5), "`back` is 1.5; expected an integer, 1 to 10000"),
        (lambda m: classify(m, ["ab"]), "expected a list of models"),
        (lambda m: classify([m], ["ab"], threads=-1), "`threads` is -1; expected 0 (all cores) or more"),
        (lambda m: classify([m], "ab"), "`texts` is 'ab'; expected several strings"),
        (lambda m: rank(["ab"]), "expected scores, such as those of `score_many`"),  # type: ignore[list-item]
        (lambda m: rank(m.score("ab")), "expected scores, such as those of `score_many`"),
    ],
)
def test_wrong_argument_is_explained(model: LanguageModel, call: Callable[[LanguageModel], object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        call(model)
