"""Mixtures of models that differ in their networks, vocabularies and weights."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from itertools import product

import numpy as np
import pytest

import charlm
from charlm import LanguageModel, Mixture
from charlm.checkpoint import TrainingRecord
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.nn.networks import make_network
from charlm.text.vocabulary import EOS, UNK, Vocabulary

TEXTS = ["badge", "bad", "a bad cafe", "", "hedge?", "xyz"] * 12
WEIGHTS = pytest.mark.parametrize("weights", [[0.7, 0.3], [0.01, 0.99]])


def make(
    letters: str, cell: str = "lstm", *, hidden: int = 6, seed: int = 0, members: int = 1, lines: bool = True,
    unit: str = "char", normalize: str = "none",
) -> LanguageModel:  # fmt: skip
    """Return a model of some letters with random weights."""
    vocabulary = Vocabulary.build(dict.fromkeys(letters, 1), unit=unit)
    network = make_network(NetworkConfig(cell, hidden, 2), len(vocabulary))
    drawn = [network.initial(np.random.default_rng(seed + k)) for k in range(members)]
    for k, params in enumerate(drawn):
        params.flat += np.random.default_rng(seed + k).normal(0, 0.5, params.flat.size).astype(np.float32)
    text = TextConfig(lines=lines, unit=unit, normalize=normalize)
    return LanguageModel(network, drawn, vocabulary, text, TrainingRecord(sources=("a",)))


def pair(*, lines: bool = True) -> list[LanguageModel]:
    """Return two models with different cells, sizes, numbers of members and vocabularies."""
    return [make("abcdeg ", lines=lines), make("abdfgh ", "gru", hidden=9, seed=5, members=2, lines=lines)]


def distribution(model: charlm.LanguageModel | Mixture, prompt: str) -> dict[str, float]:
    return {one.text: one.probability for one in model.next(prompt, words=0).characters}


def extended(model: LanguageModel, prompt: str, tokens: tuple[str, ...]) -> dict[str, float]:
    """Return the distribution of a model over more tokens: those that it does not know have parts of UNK's."""
    own = distribution(model, prompt)
    missing = [token for token in tokens if token not in own]
    return {token: own[UNK] / (len(missing) + 1) if token in [*missing, UNK] else own[token] for token in tokens}


@WEIGHTS
@pytest.mark.parametrize("prompt", ["", "bad", "cafe?"])
def test_next_character_has_the_weighted_mean_of_the_probabilities(weights: list[float], prompt: str) -> None:
    models = pair()
    mixture = Mixture(models, weights)
    found, tokens = distribution(mixture, prompt), mixture.vocabulary.tokens
    assert tokens == (EOS, UNK, *" abcdefgh")
    each = [extended(model, prompt, tokens) for model in models]
    for token in tokens:
        expected = sum(w * one[token] for w, one in zip(weights, each, strict=True))
        assert found[token] == pytest.approx(expected, rel=1e-5)
    assert sum(found.values()) == pytest.approx(1, abs=1e-6)


@WEIGHTS
@pytest.mark.parametrize("text", ["a bad cafe", "h?e?"])
def test_score_is_the_sum_over_the_characters_of_next(weights: list[float], text: str) -> None:
    """The chain rule, with characters that one of the models or neither of them knows."""
    mixture = Mixture(pair(), weights)
    steps = [
        distribution(mixture, text[:k])[character if character in mixture.vocabulary else UNK]
        for k, character in enumerate(text)
    ]
    score = mixture.score(text, end=False)
    assert score.log_prob == pytest.approx(sum(map(math.log, steps)), abs=1e-5)
    assert [char.log_prob for char in mixture.score_characters(text, end=False)] == pytest.approx(
        list(map(math.log, steps)), abs=1e-5
    )
    parts = mixture.score(text[:2], end=False).log_prob + mixture.score(text[2:], context=text[:2], end=False).log_prob
    assert score.log_prob == pytest.approx(parts, abs=1e-5)


@pytest.mark.parametrize("index", [0, 1])
def test_mixture_with_one_weight_equals_the_model_alone(index: int) -> None:
    models = pair()
    mixture, alone = Mixture(models, [1 - index, index]), models[index]
    assert mixture.vocabulary == alone.vocabulary
    assert mixture.score("badge h?").log_prob == alone.score("badge h?").log_prob
    assert [s.text for s in mixture.sample("b", n=5, seed=1)] == [s.text for s in alone.sample("b", n=5, seed=1)]
    assert distribution(mixture, "ba") == distribution(alone, "ba")


def test_models_of_one_vocabulary_with_equal_weights_equal_an_ensemble() -> None:
    first, second = make("abcd "), make("abcd ", seed=3)
    ensemble = LanguageModel(first.network, [*first.members, *second.members], first.vocabulary, first.text)
    mixture = Mixture([first, second])
    assert mixture.score("bad cab").log_prob == pytest.approx(ensemble.score("bad cab").log_prob, abs=1e-6)
    assert mixture.sample("b", n=3, seed=2)[0].text == ensemble.sample("b", n=3, seed=2)[0].text


def test_mixture_of_a_mixture_has_the_products_of_the_weights() -> None:
    first, second = pair()
    third = make("abxy", "rnn", seed=9)
    nested = Mixture([Mixture([first, second], [1, 3]), third], [0.4, 0.6])
    flat = Mixture([first, second, third], [0.1, 0.3, 0.6])
    text = "bad gab"  # both models of the inner mixture know its characters
    assert nested.score(text).log_prob == pytest.approx(flat.score(text).log_prob, abs=1e-5)
    assert sum(distribution(nested, "xa").values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("prompt", ["", "ba"])
def test_samples_follow_the_distribution_of_the_mixture(prompt: str) -> None:
    """Chi-square of all texts of two characters; the quantile of 0.999 is about n + 3.1 sqrt(2 n) + 6."""
    mixture, draws = Mixture(pair(lines=False), [0.6, 0.4]), 20_000
    drawn = Counter(sample.text for sample in mixture.sample(prompt, n=draws, seed=1, length=2, temperature=1))
    p: dict[str, float] = {}
    first = drawable(mixture, prompt)
    for one, two in product(first, first):
        p[one + two] = first[one] * drawable(mixture, prompt + one)[two]
    assert sum(p.values()) == pytest.approx(1)
    common = [text for text in p if p[text] * draws >= 5]
    rare = max(1.0, draws * (1 - sum(p[text] for text in common)))  # all other texts together
    expected = [p[text] * draws for text in common] + [rare]
    counts = [drawn[text] for text in common] + [draws - sum(drawn[text] for text in common)]
    statistic = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))
    assert statistic < len(common) + 3.1 * math.sqrt(2 * len(common)) + 6


def drawable(mixture: Mixture, prompt: str) -> dict[str, float]:
    """Return the distribution of the next character without EOS and UNK."""
    p = {token: value for token, value in distribution(mixture, prompt).items() if token not in (EOS, UNK)}
    return {token: value / sum(p.values()) for token, value in p.items()}


@pytest.mark.parametrize("n", [1, 40])
def test_a_rescored_sample_has_its_log_probability_and_streams_are_samples(n: int) -> None:
    mixture = Mixture(pair(), [0.3, 0.7])
    drawn = mixture.sample("bad", n=n, seed=3, length=40, top_p=0.95)
    assert "".join(mixture.stream("bad", seed=3, length=40, top_p=0.95)) == drawn[0].text
    for sample in drawn:
        rescored = mixture.score(sample.text, end=sample.has_ended, context="bad")
        assert sample.log_prob == pytest.approx(rescored.log_prob, abs=1e-4)


def test_samples_of_a_mixture_match_an_expression() -> None:
    mixture = Mixture(pair(), [0.3, 0.7])
    for sample in mixture.sample(n=20, seed=1, match="[c-h]{3,5}", without="g"):
        assert 3 <= len(sample.text) <= 5
        assert set(sample.text) <= set("cdefh")


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_in_a_batch_equal_single_scores(threads: int) -> None:
    mixture = Mixture(pair(), [0.3, 0.7])
    texts = [first + text for first in "abcdefgh " for text in TEXTS]  # enough to share prefixes
    alone = {text: mixture.score(text).log_prob for text in set(texts)}
    assert [s.log_prob for s in mixture.score_many(texts, threads=threads)] == pytest.approx(
        [alone[text] for text in texts], abs=3e-5
    )


def test_long_text_equals_its_parts() -> None:
    mixture = Mixture(pair(lines=False))
    text = "".join(np.random.default_rng(0).choice(list("abcdefgh "), 9000))
    [whole] = mixture.score_many([text], threads=2)
    parts = [mixture.score(text[k : k + 3000], context=text[:k]).log_prob for k in (0, 3000, 6000)]
    assert whole.log_prob == pytest.approx(math.fsum(parts), abs=2e-3)


def test_fitted_weights_maximise_the_probability_of_the_text() -> None:
    models = [make("abcdeg ", seed=1), make("abdfgh ", "gru", hidden=9, seed=5)]
    text = "\n".join(sample.text for sample in Mixture(models, [0.25, 0.75]).sample(n=300, seed=1, temperature=1))
    fitted = Mixture(models).fitted(text)
    assert sum(fitted.weights) == pytest.approx(1)
    assert fitted.weights[0] == pytest.approx(0.25, abs=0.1)
    best = fitted.score(text).log_prob
    for step in (-0.02, 0.02):
        weights = [fitted.weights[0] + step, fitted.weights[1] - step]
        assert Mixture(models, weights).score(text).log_prob < best


def test_weights_have_a_common_factor_and_may_be_of_numpy() -> None:
    assert Mixture(pair(), np.array([2, 6], np.float32)).weights == (0.25, 0.75)
    assert Mixture(pair()).weights == (0.5, 0.5)


def test_repr_names_the_weights_and_a_copy_scores_the_same() -> None:
    mixture = Mixture(pair(), [0.25, 0.75])
    assert repr(mixture).startswith("<Mixture 0.25 x <LanguageModel lstm 6x2")
    expected = mixture.score("bad").log_prob
    assert pickle.loads(pickle.dumps(mixture)).score("bad").log_prob == expected


def test_mixture_can_be_classified() -> None:
    models = pair()
    [found] = charlm.classify([Mixture(models), models[0]], ["bad"])
    assert sum(found.posterior) == pytest.approx(1)


def test_words_are_mixed_over_the_union_of_the_vocabularies() -> None:
    words = [make(["ab", "cd", " "], lines=False, unit="word"), make(["ab", "ef", " "], lines=False, unit="word")]
    mixture = Mixture(words)
    assert set(mixture.vocabulary.tokens) == {EOS, UNK, "ab", "cd", "ef", " "}
    assert sum(distribution(mixture, "ab ").values()) == pytest.approx(1, abs=1e-6)


def test_newline_token_of_a_model_of_lines_is_not_the_end_of_a_line() -> None:
    """A model that was fine-tuned from running text has the newline as a token that is never drawn."""
    models = [make("abcd\n"), make("abcx")]
    mixture = Mixture(models)
    assert sum(distribution(mixture, "a").values()) == pytest.approx(1, abs=1e-6)
    assert all("\n" not in sample.text for sample in mixture.sample(n=200, seed=1, temperature=2))


@pytest.mark.parametrize(
    ("models", "weights", "message"),
    [
        ([], None, "one or more models"),
        ([make("ab"), "b"], None, "a list of one or more models"),
        (pair(), [1], "1 weight for 2 models"),
        (pair(), [1, -1], "0 or more"),
        (pair(), [0, 0], "more than 0"),
        (pair(), [1, math.inf], "finite"),
        ([make("ab"), make("ab", lines=False)], None, "models of lines and of running text cannot be mixed"),
        ([make("ab"), make(["ab"], unit="word")], None, "models of characters and of words"),
        ([make("ab"), make("ab", normalize="NFC")], None, "the normal form NFC and of the normal form none"),
    ],
)
def test_models_that_cannot_be_mixed_are_refused(
    models: list[LanguageModel], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Mixture(models, weights)


def test_weights_cannot_be_fitted_on_an_empty_text() -> None:
    with pytest.raises(ConfigError, match="one or more characters"):
        Mixture(pair()).fitted("")
