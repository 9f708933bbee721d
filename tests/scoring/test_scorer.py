"""Scores of the clockwork model, worked out by hand, and of real networks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.scoring import scorer, scoring_batch, shared_prefixes
from charlm.scoring.scorer import score_characters, score_texts
from charlm.text.vocabulary import Vocabulary
from tests.sampling.clockwork import ClockworkRunner, log_prob

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))
RUNNER = ClockworkRunner.random(VOCABULARY)
TEXTS = st.text("abc ?\ud800\U0001f600", max_size=20)


def real_runner(cell: str = "lstm", dtype: type = np.float32) -> PreparedNetwork:
    network = Network(NetworkConfig(cell, 12, 2), len(VOCABULARY))
    return PreparedNetwork(network, network.initial(np.random.default_rng(5), dtype))


def expected(text: str, end: bool = False, context: str = "") -> float:
    ids = VOCABULARY.encode(context + text).tolist() + [VOCABULARY.eos] * end
    return log_prob(RUNNER, ids, len(context))


@given(texts=st.lists(TEXTS, max_size=40), end=st.booleans(), context=TEXTS)
def test_scores_are_right_and_in_order(texts: list[str], end: bool, context: str) -> None:
    scores = list(score_texts(RUNNER, VOCABULARY, texts, end=end, context=context))
    assert [score.text for score in scores] == texts
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end, context), abs=1e-9)
        assert score.characters == len(text) + end
        assert score.unknown == len(VOCABULARY.unknown(text))


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=60), end=st.booleans())
def test_any_mixture_of_lengths_is_batched_right(lengths: list[int], end: bool) -> None:
    texts = ["abcde "[length % 6] * length for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring_batch, "FEWEST_COLUMNS", 3)
        patch.setattr(scoring_batch, "PLACES_AT_ONCE", 64)
        patch.setattr(scoring_batch, "SHARE", 4)
        scores = list(score_texts(RUNNER, VOCABULARY, texts, end=end))
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end), abs=1e-9)


@given(a=TEXTS, b=TEXTS, c=TEXTS)
def test_chain_rule(a: str, b: str, c: str) -> None:
    """score(a + b) = score(a) + score(b given a), whatever went before."""
    [first] = score_texts(RUNNER, VOCABULARY, [a], context=c)
    [second] = score_texts(RUNNER, VOCABULARY, [b], end=True, context=c + a)
    [both] = score_texts(RUNNER, VOCABULARY, [a + b], end=True, context=c)
    assert both.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_chain_rule_of_real_networks(cell: str) -> None:
    runner = real_runner(cell, np.float64)
    [first] = score_texts(runner, VOCABULARY, ["abba "])
    [second] = score_texts(runner, VOCABULARY, ["caded"], context="abba ")
    [both] = score_texts(runner, VOCABULARY, ["abba caded"])
    assert both.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("context", ["", "bad\n"])
def test_a_batch_scores_as_one_text_at_a_time(cell: str, context: str) -> None:
    """Many short texts and a few long ones, in float32."""
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(0, 30, 300), 3000, 700, 900]
    texts = ["".join(rng.choice(list("abcde ?"), length)) for length in lengths]
    runner = real_runner(cell)
    batched = list(score_texts(runner, VOCABULARY, texts, end=True, context=context))
    for text, score in zip(texts, batched, strict=True):
        alone = next(score_texts(runner, VOCABULARY, [text], end=True, context=context))
        assert score.log_prob == pytest.approx(alone.log_prob, abs=1e-5 * max(1, len(text) / 30))


def test_several_runners_give_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_batch, "WORTH_A_THREAD", 1)
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde ?"), length)) for length in rng.integers(0, 30, 6000)]
    scores = list(score_texts(real_runner(), VOCABULARY, texts))
    again = list(score_texts(real_runner(), VOCABULARY, texts, others=[real_runner(), real_runner()]))
    assert [score.text for score in again] == texts
    for one, other in zip(scores, again, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)


def test_an_error_on_a_thread_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_batch, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(scoring_batch, "FIRST", ())  # which are too small for two threads
    is_broken = threading.Event()

    class Broken(ClockworkRunner):
        def step(self, *args: Any) -> Any:
            is_broken.set()
            raise MemoryError

    class Slow(ClockworkRunner):
        def step(self, *args: Any) -> Any:
            assert is_broken.wait(20)  # so that the other runner gets its turn
            return super().step(*args)

    texts = ["abcde"[k % 5] * 20 for k in range(200)]
    with pytest.raises(MemoryError):
        list(score_texts(Slow.random(VOCABULARY), VOCABULARY, texts, others=[Broken.random(VOCABULARY)]))


@pytest.mark.parametrize("context", ["", "bad\n"])
@pytest.mark.parametrize("end", [False, True])
def test_beginnings_that_texts_share_are_read_once(context: str, end: bool) -> None:
    rng = np.random.default_rng(0)
    texts = [name + tail for name in ("abbacad", "abbacabba?") for tail in ("", "e", "ea", "dab") for _ in range(500)]
    texts += ["".join(rng.choice(list("abcde ?"), length)) for length in rng.integers(0, 30, 500)]
    texts = [texts[k] for k in rng.permutation(len(texts))]
    runner = ClockworkRunner.random(VOCABULARY)
    scores = list(score_texts(runner, VOCABULARY, texts, end=end, context=context))
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end, context), abs=1e-9)
    characters = sum(map(len, texts))
    assert 0 < runner.rows_read < 0.45 * characters


def test_perplexity_of_a_uniform_model_is_the_size_of_its_vocabulary() -> None:
    runner = ClockworkRunner.uniform(VOCABULARY)
    for end in (False, True):
        [score] = score_texts(runner, VOCABULARY, ["abc de"], end=end)
        assert score.perplexity == pytest.approx(len(VOCABULARY))
        assert score.bits_per_char == pytest.approx(math.log2(len(VOCABULARY)))


def test_unknown_characters_apart() -> None:
    [score] = score_texts(RUNNER, VOCABULARY, ["a?bß"])
    ids = [2 + "\n abcde".index(c) if c in "\n abcde" else 1 for c in "a?bß"]
    costs = [log_prob(RUNNER, ids[: k + 1], k) for k in range(4)]
    assert score.unknown == 2
    assert score.unknown_log_prob == pytest.approx(costs[1] + costs[3])
    assert score.known.log_prob == pytest.approx(costs[0] + costs[2])


def test_words_count_as_characters_in_a_model_of_words() -> None:
    words = Vocabulary.build({"apple": 1, " ": 1, "pear": 1}, unit="word")
    runner = ClockworkRunner.uniform(words)
    [score, empty] = score_texts(runner, words, ["apple pear plum", ""])
    assert (score.characters, score.unknown) == (5, 1)
    assert score.perplexity == pytest.approx(len(words))
    assert empty.characters == 0
    places = [(each.character, each.offset) for each in score_characters(runner, words, "apple plum", end=True)]
    assert places == [("apple", 0), (" ", 5), ("plum", 6), ("<EOS>", 10)]


def test_the_first_score_comes_before_the_second_text_is_read() -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for k in range(100_000):
            read.append(k)
            yield "ab"

    scores = score_texts(RUNNER, VOCABULARY, texts())
    next(scores)
    assert len(read) == 1
    for _ in range(20_000):
        next(scores)
    assert len(read) < 20_001 + scoring_batch.TEXTS_AT_ONCE


def test_long_texts_close_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_batch, "CHARACTERS_AT_ONCE", 10)
    monkeypatch.setattr(scoring_batch, "FIRST", (1, 2))
    beginning = scoring_batch.read_shared_prefix(RUNNER, VOCABULARY, "")
    texts = ["a" * 9, "", "bb", "c" * 12, "d", "e"]
    gathered = [list(each.texts) for each in scoring_batch.scoring_batches(texts, VOCABULARY, beginning, False)]
    assert gathered == [["a" * 9], ["", "bb"], ["c" * 12], ["d", "e"]]


def test_a_long_text_beside_short_ones_costs_little_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_prefixes, "FEWEST_SPARED", 10**9)  # each by itself
    runner = ClockworkRunner.random(VOCABULARY)
    texts = ["a"] * 7 + ["b" * 2000] + ["cd" * (k % 20) for k in range(999)]
    list(score_texts(runner, VOCABULARY, texts))
    predicted = sum(len(text) for text in texts)
    assert predicted <= runner.rows_read <= 1.35 * predicted


@given(text=TEXTS, end=st.booleans(), context=TEXTS)
def test_scores_of_characters(text: str, end: bool, context: str) -> None:
    scores = list(score_characters(RUNNER, VOCABULARY, text, end=end, context=context, alternatives=3))
    assert "".join(each.character for each in scores) == text + "<EOS>" * end
    assert [each.offset for each in scores] == list(range(len(text) + end))
    assert [each.offset for each in scores if each.is_unknown] == VOCABULARY.unknown(text)
    [whole] = score_texts(RUNNER, VOCABULARY, [text], end=end, context=context)
    assert sum(each.log_prob for each in scores) == pytest.approx(whole.log_prob, abs=1e-9)


def test_rank_and_alternatives_are_those_of_the_distribution() -> None:
    size = len(VOCABULARY)
    for score in score_characters(RUNNER, VOCABULARY, "a?b", end=True, alternatives=size + 5):
        ids = VOCABULARY.encode("a?b").tolist()[: score.offset]
        costs = {token: log_prob(RUNNER, [*ids, k], len(ids)) for k, token in enumerate(VOCABULARY.tokens)}
        assert math.fsum(map(math.exp, costs.values())) == pytest.approx(1)
        character = "<UNK>" if score.is_unknown else score.character
        falling = sorted(costs, key=costs.__getitem__, reverse=True)
        assert falling[score.rank - 1] == character
        assert score.log_prob == pytest.approx(costs.pop(character))
        assert [token for token, _ in score.alternatives] == [token for token in falling if token != character]
        assert dict(score.alternatives) == pytest.approx(costs)


@pytest.mark.parametrize("steps", [1, 3, 4])
@pytest.mark.parametrize("runner", [RUNNER, real_runner(dtype=np.float64)], ids=["clockwork", "lstm"])
def test_state_is_carried_between_the_windows_of_a_long_text(
    runner: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "ab?cdc" * 5
    whole = list(score_characters(runner, VOCABULARY, text, alternatives=0))
    monkeypatch.setattr(scorer, "VALUES_AT_ONCE", steps * len(VOCABULARY))
    cut = list(score_characters(runner, VOCABULARY, text, alternatives=0))
    assert [each.log_prob for each in cut] == pytest.approx([each.log_prob for each in whole], abs=1e-12)
    assert [(each.character, each.offset, each.rank) for each in cut] == [
        (each.character, each.offset, each.rank) for each in whole
    ]
    assert whole[0].alternatives == ()
