"""The next character and the next words, compared with an enumeration of all words."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.network import Network
from charlm.scoring.continuations import Next, expect_next, is_word_character
from charlm.scoring.tuning import ScoringTuning
from charlm.text.vocabulary import EOS, UNK, Vocabulary
from tests.sampling.clockwork import ClockworkNetwork, log_prob

VOCABULARY = Vocabulary.build(dict.fromkeys("ab' .", 1))
INSIDE = "'ab"
OUTSIDE = (EOS, " ", ".")


def expect(network: Any, prompt: str, words: int, **tuning: Any) -> Next:
    return expect_next(network, VOCABULARY, prompt, words=words, tuning=ScoringTuning(**tuning))


def naive_words(network: ClockworkNetwork, prompt: str, longest: int) -> dict[str, float]:
    """Return the probability of every next word of up to `longest` more characters."""

    def p(tokens: list[str]) -> float:
        ids = [VOCABULARY.tokens.index(token) for token in (*prompt, *tokens)]
        return math.exp(log_prob(network, ids, len(prompt)))

    begun = prompt[len(prompt.rstrip(INSIDE)) :]
    result = {} if begun else {token: p([token]) for token in OUTSIDE}
    for length in range(0 if begun else 1, longest + 1):
        for word in product(INSIDE, repeat=length):
            result["".join(word)] = sum(p([*word, end]) for end in OUTSIDE)
    return result


@pytest.mark.parametrize("prompt", ["", "a ", "b.", "ab", "a 'b"])
@pytest.mark.parametrize("per_step", [1, 5])
def test_words_are_the_most_probable_of_all(prompt: str, per_step: int) -> None:
    for seed in range(3):
        network = ClockworkNetwork.random(VOCABULARY, seed=seed)
        network.logits[:, [0, 3, 4]] += 1.5  # words end
        naive = naive_words(network, prompt, 7)
        best = sorted(naive, key=naive.__getitem__, reverse=True)[:12]
        found = expect(network, prompt, 12, beginnings_per_step=per_step)
        assert [one.text for one in found.words] == best
        assert [one.probability for one in found.words] == pytest.approx([naive[word] for word in best])
        assert found.is_exact


def test_word_that_the_prompt_begins_is_completed() -> None:
    network: Any = ClockworkNetwork.random(VOCABULARY)
    assert all(one.word == "b" + one.text for one in expect(network, "a b", 5).words)
    assert "" in [one.text for one in expect(network, "a b", 60).words]
    assert all(one.word == one.text != "" for one in expect(network, "a ", 60).words)


def test_characters_are_the_distribution_in_order() -> None:
    network = ClockworkNetwork.random(VOCABULARY)
    characters = expect(network, "ab", 0).characters
    assert {one.text for one in characters} == set(VOCABULARY.tokens) >= {EOS, UNK}
    assert sum(one.probability for one in characters) == pytest.approx(1)
    assert [one.log_prob for one in characters] == sorted((one.log_prob for one in characters), reverse=True)
    ids = VOCABULARY.encode("ab").tolist()
    for one in characters:
        expected = log_prob(network, [*ids, VOCABULARY.tokens.index(one.text)], 2)
        assert one.log_prob == pytest.approx(expected)


def test_a_stopped_search_says_so() -> None:
    network: Any = ClockworkNetwork.uniform(VOCABULARY)
    stopped = expect(network, "a ", 50, max_expanded=3)
    assert not stopped.is_exact
    assert {" ", ".", EOS} <= {one.text for one in stopped.words}


def test_probability_of_a_word_of_a_real_network_equals_its_score() -> None:
    from charlm.scoring.scorer import score_texts

    network = Network(NetworkConfig("lstm", 9, 2), len(VOCABULARY))
    params = network.initial(np.random.default_rng(1), np.float64)
    params.flat *= 2
    prepared = PreparedNetwork(network, params)
    found = next(one for one in expect(prepared, "a ", 9).words if one.text[0] in INSIDE)
    texts = [found.text + end for end in " ."]
    scores = [*score_texts(prepared, VOCABULARY, texts, end=False, context="a ")]
    scores += score_texts(prepared, VOCABULARY, [found.text], end=True, context="a ")
    assert found.probability == pytest.approx(sum(math.exp(score.log_prob) for score in scores), rel=1e-6)


@pytest.mark.parametrize(
    ("character", "expected"),
    [("a", True), ("7", True), ("é", True), ("\u0301", True), ("’", True), ("-", False), (" ", False), ("\n", False)],
)
def test_characters_of_words(character: str, expected: bool) -> None:
    assert is_word_character(character) is expected
