"""Dynamic evaluation equals its equations, computed step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.nn.window import Window
from charlm.scoring.dynamic_evaluation import DynamicEvaluation, score_adaptively
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(dict.fromkeys("abcd", 1))
NETWORK = Network(NetworkConfig("lstm", 5, 2), len(VOCABULARY))
RATE = 0.02
TEXTS = ["abcadcabba" * 9, "abc?d", "", "dcba" * 8, "abcd" * 20]


def expected(texts: list[str], end: bool) -> Iterator[tuple[int, float]]:
    """Yield the number of targets and log p of each text.

    Each segment of 32 characters is scored, then learned from: with g the gradient of its loss, divided by 32,

        v <- 0.99 v + 0.01 g^2                                     over all texts, corrected as in Adam
        w <- w - rate g / (sqrt(v) + 1e-6);  w <- w + 0.001 (w_trained - w)
    """
    trained = NETWORK.initial(np.random.default_rng(3), np.float64)
    params, grads = NETWORK.parameters(trained.flat.copy()), trained.empty_like()
    squares, updates = np.zeros_like(trained.flat), 0
    for text in texts:
        ids = np.array([VOCABULARY.eos, *VOCABULARY.encode(text), *[VOCABULARY.eos] * end])
        state, total = NETWORK.zero_state(1, np.float64), 0.0
        for start in range(0, len(ids) - 1, 32):
            segment = ids[start : start + 33, None]
            log_probs, after = PreparedNetwork(NETWORK, params).score(segment[:-1], segment[1:], state)
            total += log_probs.sum()
            window = Window(segment[:-1], segment[1:], scale=1 / 32)
            NETWORK.loss_and_grads(params, grads, window, state, Workspace(np.dtype(np.float64)))
            updates += 1
            squares = 0.99 * squares + 0.01 * grads.flat**2
            params.flat -= RATE * grads.flat / (np.sqrt(squares / (1 - 0.99**updates)) + 1e-6)
            params.flat += 0.001 * (trained.flat - params.flat)
            state = after
        yield len(ids) - 1, total


@pytest.mark.parametrize("end", [False, True])
def test_weights_adapt_as_in_the_equations(end: bool) -> None:
    params = NETWORK.initial(np.random.default_rng(3), np.float64)
    scores = list(score_adaptively(NETWORK, [params], VOCABULARY, TEXTS, end=end, config=DynamicEvaluation(RATE)))
    assert [score.text for score in scores] == TEXTS
    for score, (characters, log_prob) in zip(scores, expected(TEXTS, end), strict=True):
        assert score.characters == characters
        assert score.log_prob == pytest.approx(log_prob, abs=1e-9)
    assert [score.unknown for score in scores] == [0, 1, 0, 0, 0]
    assert scores[-1].nats_per_char < scores[0].nats_per_char


def test_the_model_is_not_changed() -> None:
    params = NETWORK.initial(np.random.default_rng(3))
    model = LanguageModel(NETWORK, params, VOCABULARY, TextConfig())
    weights, before = params.flat.copy(), model.score("abcd")
    first = list(model.score_adaptively(TEXTS))
    np.testing.assert_array_equal(params.flat, weights)
    assert model.score("abcd") == before
    assert list(model.score_adaptively(TEXTS)) == first


@pytest.mark.parametrize("lines", [False, True])
def test_the_end_counts_where_the_model_learned_lines(lines: bool) -> None:
    params = NETWORK.initial(np.random.default_rng(3), np.float64)
    model = LanguageModel(NETWORK, params, VOCABULARY, TextConfig(lines=lines))
    for end, counted in ((None, lines), (True, True), (False, False)):
        [score] = model.score_adaptively(["abc"], end=end)
        assert score.characters == 3 + counted
        assert score.log_prob == pytest.approx(model.score("abc", end=counted).log_prob, abs=1e-12)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_learning_rate_of_0_or_less_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="`learning_rate`"):
        DynamicEvaluation(rate)
