"""Comparing texts, and comparing models."""

from __future__ import annotations

import math
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import ConfigError
from charlm.scoring.ranking import Classification, classify, rank, unseen_characters
from charlm.scoring.score import Score
from charlm.text.vocabulary import LineVocabulary, Vocabulary
from tests.sampling.clockwork import ClockworkNetwork, log_prob


def model(characters: str, seed: int = 0, lines: bool = True, spread: float = 1.0) -> Any:
    vocabulary = Vocabulary.build(dict.fromkeys(characters, 1))
    network = ClockworkNetwork.random(vocabulary, seed, spread)
    return SimpleNamespace(prepared=network, vocabulary=vocabulary, text=TextConfig(lines=lines))


def scored(text: str, log_prob: float) -> Score:
    return Score(len(text), 0, log_prob, 0.0, text)


def test_rank_orders_and_compares() -> None:
    ranked = rank([scored("pair", math.log(0.1)), scored("pear", math.log(0.3))])
    assert [score.text for _, score in ranked] == ["pear", "pair"]
    assert [relative for relative, _ in ranked] == pytest.approx([0.75, 0.25])
    assert rank([]) == []


def test_texts_with_equal_probabilities_keep_their_order() -> None:
    assert [score.text for _, score in rank([scored(text, -1.0) for text in "bac"])] == list("bac")
    tied = [scored("d", -2.0), scored("b", -1.0), scored("c", -2.0), scored("a", -1.0)]
    assert [score.text for _, score in rank(tied)] == list("badc")


def test_the_first_of_equally_probable_models_is_best() -> None:
    assert Classification("", (-1.0, -1.0, -2.0), (0.4, 0.4, 0.2)).best == 0
    assert Classification("", (-2.0, -1.0, -1.0), (0.2, 0.4, 0.4)).best == 1


@given(st.lists(st.floats(-1e8, 0), min_size=1, max_size=9))
def test_relative_probabilities_sum_to_one(log_probs: list[float]) -> None:
    ranked = rank([scored("", log_prob) for log_prob in log_probs])
    relative = [probability for probability, _ in ranked]
    assert math.fsum(relative) == pytest.approx(1)
    assert relative == sorted(relative, reverse=True)


def test_posterior_is_bayes_rule() -> None:
    models = [model("ab", seed) for seed in (1, 2)]
    ids = [2, 3, 3, 0]  # a, b, b, EOS
    joint = [0.2 * math.exp(log_prob(models[0].prepared, ids)), 0.8 * math.exp(log_prob(models[1].prepared, ids))]
    [result] = classify(models, ["abb"], priors=[1, 4])
    assert result.posterior == pytest.approx([each / sum(joint) for each in joint])
    assert result.log_probs == pytest.approx([log_prob(each.prepared, ids) for each in models])
    assert result.best == joint.index(max(joint))


def test_the_end_counts_if_all_models_learned_lines() -> None:
    lines, running = model("ab"), model("ab", seed=1, lines=False)
    for models, end in (([lines, lines], True), ([lines, running], False)):
        given_end = next(classify(models, ["ab"], end=end))
        assert next(classify(models, ["ab"])) == given_end


def test_context_is_read_and_not_counted() -> None:
    models = [model("ab", 1), model("ab", 2)]
    [result] = classify(models, ["b"], context="ab", end=False)
    assert result.log_probs == pytest.approx([log_prob(each.prepared, [2, 3, 3], 2) for each in models])


def test_unk_is_distributed_over_one_alphabet() -> None:
    english, german, same = (model(characters).vocabulary for characters in ("abc", "abcäöüß", "cba"))
    assert unseen_characters([english, german]) == [5, 1]
    assert unseen_characters([english, same]) == [1, 1]
    assert unseen_characters([english, german, model("xa").vocabulary]) == [6, 2, 7]


def test_a_newline_that_ends_a_line_is_known() -> None:
    """It is not counted as an unseen character of UNK."""
    lines, running = (model(characters).vocabulary for characters in ("ab", "ab\n"))
    assert unseen_characters([lines, running]) == [2, 1]
    assert unseen_characters([LineVocabulary(lines.tokens), running]) == [1, 1]


def test_every_model_is_a_distribution_over_the_same_texts() -> None:
    """All texts of two characters over the common alphabet, with "?" for what neither model knows."""
    models = [model("ab"), model("bcd", seed=1)]
    texts = ["".join(pair) for pair in product("abcd?", repeat=2)]
    results = list(classify(models, texts, end=False))
    for k, each in enumerate(models):
        ends_early = sum(
            math.exp(log_prob(each.prepared, [*before, 0]))
            for before in ([], *([c] for c in range(1, len(each.vocabulary))))
        )
        total = math.fsum(math.exp(result.log_probs[k]) for result in results)
        assert total == pytest.approx(1 - ends_early)


def test_a_model_gains_nothing_by_knowing_less() -> None:
    """Of two uniform models, the one with fewer characters is more probable for a text that both know."""
    small, large = model("ab", spread=0), model("abcdefgh", spread=0)
    [known, unknown] = classify([small, large], ["aa", "ch"], end=False)
    assert known.best == 0
    assert unknown.best == 1


def test_results_come_in_order_and_before_the_input_ends() -> None:
    models = [model("ab", 1), model("abc", 2)]
    texts = ["a" * (k % 7) + "c" * (k % 3) for k in range(5000)]
    endless = (text for _ in iter(int, 1) for text in texts)
    stream = classify(models, endless)
    assert [next(stream).text for _ in texts] == texts


def test_invalid_models_and_priors_are_refused() -> None:
    with pytest.raises(ConfigError, match="no models"):
        classify([], ["a"])
    with pytest.raises(ConfigError, match="2 priors for 1 models"):
        classify([model("ab")], ["a"], priors=[1, 2])
    for priors in ([-1.0, 1.0], [math.nan, 1.0], [0, 0]):
        with pytest.raises(ConfigError, match="`prior` is"):
            classify([model("ab"), model("b")], ["a"], priors=priors)
    words = SimpleNamespace(vocabulary=Vocabulary.build({"ab": 1}, unit="word"))
    with pytest.raises(ConfigError, match="characters and of words"):
        classify([model("ab"), words], ["a"])
