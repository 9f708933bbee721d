"""Scores of the clockwork model, which are computed by hand, and of real networks."""

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
from charlm.scoring.characters import score_characters
from charlm.scoring.scorer import score_texts
from charlm.scoring.tuning import ScoringTuning
from charlm.text.vocabulary import Vocabulary
from tests.sampling.clockwork import ClockworkNetwork, log_prob

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))
NETWORK = ClockworkNetwork.random(VOCABULARY)
TEXTS = st.text("abc ?\ud800\U0001f600", max_size=20)


def real_network(cell: str = "lstm", dtype: type = np.float32) -> PreparedNetwork:
    network = Network(NetworkConfig(cell, 12, 2), len(VOCABULARY))
    return PreparedNetwork(network, network.initial(np.random.default_rng(5), dtype))


def expected(text: str, end: bool = False, context: str = "") -> float:
    ids = VOCABULARY.encode(context + text).tolist() + [VOCABULARY.eos] * end
    return log_prob(NETWORK, ids, len(context))


@given(texts=st.lists(TEXTS, max_size=40), end=st.booleans(), context=TEXTS)
def test_scores_are_exact_and_in_order(texts: list[str], end: bool, context: str) -> None:
    scores = list(score_texts(NETWORK, VOCABULARY, texts, end=end, context=context))
    assert [score.text for score in scores] == texts
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end, context), abs=1e-9)
        assert score.characters == len(text) + end
        assert score.unknown == len(VOCABULARY.unknown(text))


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=60), end=st.booleans())
def test_scores_of_texts_of_any_lengths_are_exact(lengths: list[int], end: bool) -> None:
    texts = ["abcde "[length % 6] * length for length in lengths]
    tuning = ScoringTuning(min_step_columns=3, max_window_ids=64, min_saved_rows=1, min_thread_multiplications=1)
    scores = list(score_texts(NETWORK, VOCABULARY, texts, end=end, threads=2, tuning=tuning))
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end), abs=1e-9)


@given(a=TEXTS, b=TEXTS, c=TEXTS)
def test_chain_rule(a: str, b: str, c: str) -> None:
    """score(a + b) = score(a) + score(b given a), after any context."""
    [first] = score_texts(NETWORK, VOCABULARY, [a], context=c)
    [second] = score_texts(NETWORK, VOCABULARY, [b], end=True, context=c + a)
    [both] = score_texts(NETWORK, VOCABULARY, [a + b], end=True, context=c)
    assert both.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_chain_rule_of_real_networks(cell: str) -> None:
    network = real_network(cell, np.float64)
    [first] = score_texts(network, VOCABULARY, ["abba "])
    [second] = score_texts(network, VOCABULARY, ["caded"], context="abba ")
    [both] = score_texts(network, VOCABULARY, ["abba caded"])
    assert both.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("context", ["", "bad\n"])
def test_a_batch_scores_as_one_text_at_a_time(cell: str, context: str) -> None:
    """Many short texts and a few long ones, in float32."""
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(0, 30, 300), 3000, 700, 900]
    texts = ["".join(rng.choice(list("abcde ?"), length)) for length in lengths]
    network = real_network(cell)
    batched = list(score_texts(network, VOCABULARY, texts, end=True, context=context))
    for text, score in zip(texts, batched, strict=True):
        alone = next(score_texts(network, VOCABULARY, [text], end=True, context=context))
        assert score.log_prob == pytest.approx(alone.log_prob, abs=1e-5 * max(1, len(text) / 30))


THREADED = ScoringTuning(min_thread_multiplications=1)


def test_scores_on_several_threads_are_the_same() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde ?"), length)) for length in rng.integers(0, 30, 6000)]
    scores = list(score_texts(real_network(), VOCABULARY, texts))
    on_threads = list(score_texts(real_network(), VOCABULARY, texts, threads=3, tuning=THREADED))
    assert [score.text for score in on_threads] == texts
    for one, other in zip(scores, on_threads, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)


def test_an_error_on_a_thread_is_raised() -> None:
    main_thread = threading.get_ident()

    class Broken(ClockworkNetwork):
        def step(self, *args: Any) -> Any:
            if threading.get_ident() != main_thread:
                raise MemoryError
            return super().step(*args)

    texts = ["abcde"[k % 5] * 20 for k in range(200)]
    with pytest.raises(MemoryError):
        list(score_texts(Broken.random(VOCABULARY), VOCABULARY, texts, threads=2, tuning=THREADED))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_text_is_scored_after_its_context(threads: int) -> None:
    """In chunks, with a short text in the same batch; the network keeps its phase, which EOS alone resets."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde ?"), length)) for length in (7, 500, 90)]
    tuning = ScoringTuning(
        first_batch_texts=(), max_chunks=4, min_chunk_characters=30, max_chunk_characters=50,
        min_chunked_characters=120, checkpoint_interval=16,
    )  # fmt: skip
    scores = list(score_texts(NETWORK, VOCABULARY, texts, context="abc", threads=threads, tuning=tuning))
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, context="abc"), abs=1e-9)


@pytest.mark.parametrize("context", ["", "bad\n"])
@pytest.mark.parametrize("end", [False, True])
def test_prefixes_that_texts_share_are_read_once(context: str, end: bool) -> None:
    rng = np.random.default_rng(0)
    texts = [name + tail for name in ("abbacad", "abbacabba?") for tail in ("", "e", "ea", "dab") for _ in range(500)]
    texts += ["".join(rng.choice(list("abcde ?"), length)) for length in rng.integers(0, 30, 500)]
    texts = [texts[k] for k in rng.permutation(len(texts))]
    network = ClockworkNetwork.random(VOCABULARY)
    scores = list(score_texts(network, VOCABULARY, texts, end=end, context=context))
    for text, score in zip(texts, scores, strict=True):
        assert score.log_prob == pytest.approx(expected(text, end, context), abs=1e-9)
    characters = sum(map(len, texts))
    assert 0 < network.rows_read < 0.45 * characters


def test_perplexity_of_a_uniform_model_is_the_size_of_its_vocabulary() -> None:
    network = ClockworkNetwork.uniform(VOCABULARY)
    for end in (False, True):
        [score] = score_texts(network, VOCABULARY, ["abc de"], end=end)
        assert score.perplexity == pytest.approx(len(VOCABULARY))
        assert score.bits_per_char == pytest.approx(math.log2(len(VOCABULARY)))


def test_unknown_characters_are_counted_separately() -> None:
    [score] = score_texts(NETWORK, VOCABULARY, ["a?bß"])
    ids = [2 + "\n abcde".index(c) if c in "\n abcde" else 1 for c in "a?bß"]
    costs = [log_prob(NETWORK, ids[: k + 1], k) for k in range(4)]
    assert score.unknown == 2
    assert score.unknown_log_prob == pytest.approx(costs[1] + costs[3])
    assert score.known.log_prob == pytest.approx(costs[0] + costs[2])


def test_words_count_as_characters_in_a_model_of_words() -> None:
    words = Vocabulary.build({"apple": 1, " ": 1, "pear": 1}, unit="word")
    network = ClockworkNetwork.uniform(words)
    [score, empty] = score_texts(network, words, ["apple pear plum", ""])
    assert (score.characters, score.unknown) == (5, 1)
    assert score.perplexity == pytest.approx(len(words))
    assert empty.characters == 0
    offsets = [(each.character, each.offset) for each in score_characters(network, words, "apple plum", end=True)]
    assert offsets == [("apple", 0), (" ", 5), ("plum", 6), ("<EOS>", 10)]


def test_the_first_score_comes_before_the_second_text_is_read() -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for k in range(100_000):
            read.append(k)
            yield "ab"

    scores = score_texts(NETWORK, VOCABULARY, texts())
    next(scores)
    assert len(read) == 1
    for _ in range(20_000):
        next(scores)
    assert len(read) < 20_001 + ScoringTuning.max_batch_texts


def test_a_batch_ends_at_its_maximum_of_characters() -> None:
    taken: list[str] = []

    def texts() -> Iterator[str]:
        for text in ["a" * 9, "", "bb", "c" * 12, "d", "e"]:
            taken.append(text)
            yield text

    tuning = ScoringTuning(max_batch_characters=10, first_batch_texts=(1, 2))
    taken_at = [len(taken) for _ in score_texts(NETWORK, VOCABULARY, texts(), tuning=tuning)]
    assert taken_at == [1, 3, 3, 4, 6, 6]


def test_one_long_text_among_short_ones_costs_little_padding() -> None:
    network = ClockworkNetwork.random(VOCABULARY)
    texts = ["a"] * 7 + ["b" * 2000] + ["cd" * (k % 20) for k in range(999)]
    list(score_texts(network, VOCABULARY, texts, tuning=ScoringTuning(min_saved_rows=10**9)))  # no shared prefixes
    predicted = sum(len(text) for text in texts)
    assert predicted <= network.rows_read <= 1.35 * predicted


@given(text=TEXTS, end=st.booleans(), context=TEXTS)
def test_scores_of_characters(text: str, end: bool, context: str) -> None:
    scores = list(score_characters(NETWORK, VOCABULARY, text, end=end, context=context, alternatives=3))
    assert "".join(each.character for each in scores) == text + "<EOS>" * end
    assert [each.offset for each in scores] == list(range(len(text) + end))
    assert [each.offset for each in scores if each.is_unknown] == VOCABULARY.unknown(text)
    [total] = score_texts(NETWORK, VOCABULARY, [text], end=end, context=context)
    assert sum(each.log_prob for each in scores) == pytest.approx(total.log_prob, abs=1e-9)


def test_rank_and_alternatives_follow_the_distribution() -> None:
    size = len(VOCABULARY)
    for score in score_characters(NETWORK, VOCABULARY, "a?b", end=True, alternatives=size + 5):
        ids = VOCABULARY.encode("a?b").tolist()[: score.offset]
        costs = {token: log_prob(NETWORK, [*ids, k], len(ids)) for k, token in enumerate(VOCABULARY.tokens)}
        assert math.fsum(map(math.exp, costs.values())) == pytest.approx(1)
        character = "<UNK>" if score.is_unknown else score.character
        falling = sorted(costs, key=costs.__getitem__, reverse=True)
        assert falling[score.rank - 1] == character
        assert score.log_prob == pytest.approx(costs.pop(character))
        assert [token for token, _ in score.alternatives] == [token for token in falling if token != character]
        assert dict(score.alternatives) == pytest.approx(costs)


@pytest.mark.parametrize("steps", [1, 3, 4])
@pytest.mark.parametrize("network", [NETWORK, real_network(dtype=np.float64)], ids=["clockwork", "lstm"])
def test_state_is_carried_between_the_windows_of_a_long_text(network: Any, steps: int) -> None:
    text = "ab?cdc" * 5
    in_one_window = list(score_characters(network, VOCABULARY, text, alternatives=0))
    tuning = ScoringTuning(max_log_probs=steps * len(VOCABULARY))
    in_windows = list(score_characters(network, VOCABULARY, text, alternatives=0, tuning=tuning))
    assert [each.log_prob for each in in_windows] == pytest.approx([each.log_prob for each in in_one_window], abs=1e-12)
    assert [(each.character, each.offset, each.rank) for each in in_windows] == [
        (each.character, each.offset, each.rank) for each in in_one_window
    ]
    assert in_one_window[0].alternatives == ()


def test_characters_with_equal_probabilities_have_equal_ranks() -> None:
    scores = score_characters(ClockworkNetwork.uniform(VOCABULARY), VOCABULARY, "ab", alternatives=3)
    assert [(score.rank, len(score.alternatives)) for score in scores] == [(1, 3), (1, 3)]
