"""Texts drawn from the clockwork model and from real networks."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import NetworkConfig, SampleConfig
from charlm.errors import ConfigError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.inference.stepper import Stepper
from charlm.nn.base import NetworkState
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from charlm.sampling import sampler
from charlm.sampling.sampler import sample, sample_each, sample_many
from charlm.sampling.stopping import StopString
from charlm.scoring.scorer import score_texts
from charlm.text.vocabulary import Vocabulary
from tests.sampling.clockwork import CLOCK, ClockworkRunner, log_prob

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))
RUNNER = ClockworkRunner.random(VOCABULARY)
RUNNER.logits[:, VOCABULARY.eos] -= 2
LENGTH = SampleConfig(length=30)


def real_runner(cell: str = "lstm", dtype: type = np.float32) -> PreparedNetwork:
    network = Network(NetworkConfig(cell, 12, 2), len(VOCABULARY))
    params = network.initial(np.random.default_rng(5), dtype)
    params.flat *= 1.5
    return PreparedNetwork(network, params)


def test_same_seed_same_text_streamed_or_not() -> None:
    streamed = "".join(sample(RUNNER, VOCABULARY, LENGTH, seed=3))
    assert streamed == sample_many(RUNNER, VOCABULARY, LENGTH, seed=3)[0].text
    assert streamed
    assert len({sample_many(RUNNER, VOCABULARY, LENGTH, seed=seed)[0].text for seed in range(8)}) > 4


def test_no_seed_is_a_new_text_each_time() -> None:
    config = SampleConfig(length=60, top_k=8)
    assert len({sample_many(ClockworkRunner.uniform(VOCABULARY), VOCABULARY, config)[0] for _ in range(4)}) > 1


@pytest.mark.parametrize("prompt", ["", "ab"])
@pytest.mark.parametrize("cell", CELLS)
def test_text_k_is_the_same_whatever_n(cell: str, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = real_runner(cell, np.float64)
    many = sample_many(runner, VOCABULARY, LENGTH, prompt=prompt, n=9, seed=1)
    assert [drawn.text for drawn in sample_many(runner, VOCABULARY, LENGTH, prompt=prompt, n=4, seed=1)] == [
        drawn.text for drawn in many[:4]
    ]
    assert "".join(sample(runner, VOCABULARY, LENGTH, prompt=prompt, seed=1)) == many[0].text
    monkeypatch.setattr(sampler, "STREAMS_AT_ONCE", 2)
    endless = sample_each(runner, VOCABULARY, LENGTH, prompt=prompt, seed=1)
    assert [drawn.text for drawn in islice(endless, 9)] == [drawn.text for drawn in many]


@pytest.mark.parametrize("config", [LENGTH, SampleConfig(length=30, temperature=0), SampleConfig(length=30, top_k=3)])
def test_no_text_is_empty_even_if_the_model_expects_its_end(config: SampleConfig) -> None:
    """EOS never follows EOS in training; its probability is that of the model all the same."""
    runner = ClockworkRunner.random(VOCABULARY, seed=2)
    runner.logits[:, VOCABULARY.eos] += 5
    drawn = sample_many(runner, VOCABULARY, config, n=50, seed=0)
    assert all(each.text for each in drawn)
    assert any(len(each.text) == 1 and each.has_ended for each in drawn)
    for each in drawn:
        ids = VOCABULARY.encode(each.text).tolist() + [VOCABULARY.eos] * each.has_ended
        assert each.log_prob == pytest.approx(log_prob(runner, ids, 0), abs=1e-9)
    assert "".join(sample(runner, VOCABULARY, config, seed=0)) == drawn[0].text
    prompted = sample_many(runner, VOCABULARY, config, prompt="a", n=50, seed=0)
    assert any(not each.text for each in prompted)


def test_texts_come_batch_by_batch() -> None:
    """The first are yielded before the others are drawn."""
    runner = ClockworkRunner.random(VOCABULARY)
    runner.logits[:, VOCABULARY.eos] = -99
    texts = sample_each(runner, VOCABULARY, SampleConfig(length=2), n=2 * sampler.STREAMS_AT_ONCE, seed=0)
    next(texts)
    assert runner.rows_read == 2 * sampler.STREAMS_AT_ONCE


def test_texts_end_at_eos_or_at_the_length() -> None:
    drawn = sample_many(RUNNER, VOCABULARY, LENGTH, n=200, seed=0)
    assert {each.has_ended for each in drawn} == {True, False}
    assert all(len(each.text) == 30 for each in drawn if not each.has_ended)
    assert min(len(each.text) for each in drawn if each.has_ended) < 5
    assert not any(character in each.text for each in drawn for character in "\ufffd<>")


def test_length_nought_draws_nothing() -> None:
    nothing = SampleConfig(length=0)
    assert list(sample(RUNNER, VOCABULARY, nothing, seed=0)) == []
    drawn = sample_many(RUNNER, VOCABULARY, nothing, n=2, seed=0)
    assert [(each.text, each.log_prob, each.has_ended) for each in drawn] == [("", 0.0, False)] * 2


def test_temperature_nought_takes_the_most_probable_and_never_unk() -> None:
    runner = ClockworkRunner.random(VOCABULARY, seed=4)
    runner.logits[:, VOCABULARY.unk] = 99
    runner.logits[:, VOCABULARY.eos] = -99
    text = "".join(sample(runner, VOCABULARY, SampleConfig(temperature=0, length=9), prompt="a"))
    ids = [0, *VOCABULARY.encode("a" + text).tolist()]
    for place, (last, chosen) in enumerate(pairwise(ids[1:]), start=1):
        assert chosen == 2 + runner.logits[place % CLOCK, 2:, last].argmax()
    assert sample_many(runner, VOCABULARY, SampleConfig(temperature=0, length=9), prompt="a")[0].text == text


def test_top_k_of_one_is_temperature_nought() -> None:
    texts = {
        "".join(sample(RUNNER, VOCABULARY, SampleConfig(length=20, **setting), seed=seed))
        for seed, setting in enumerate([{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-9}])
    }
    assert len(texts) == 1


@pytest.mark.parametrize("prompt", ["", "a", "ab c", "a?é"])
def test_log_prob_is_what_scoring_says(prompt: str) -> None:
    """At temperature 1 and through filters, with unknown characters in the prompt, ended or not."""
    for config in (LENGTH, SampleConfig(length=12, temperature=0.5, top_k=4), SampleConfig(length=9, stop="a")):
        for drawn in sample_many(RUNNER, VOCABULARY, config, prompt=prompt, n=20, seed=0):
            ids = VOCABULARY.encode(prompt + drawn.text).tolist() + [VOCABULARY.eos] * drawn.has_ended
            assert drawn.log_prob == pytest.approx(log_prob(RUNNER, ids, len(prompt)), abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_a_sample_scored_again_has_the_log_prob_it_was_drawn_with(cell: str) -> None:
    runner = real_runner(cell)
    for drawn in sample_many(runner, VOCABULARY, LENGTH, prompt="ba", n=20, seed=0):
        again = next(score_texts(runner, VOCABULARY, [drawn.text], end=drawn.has_ended, context="ba"))
        assert drawn.log_prob == pytest.approx(again.log_prob, abs=1e-4)


def test_stop_ends_the_text_behind_it() -> None:
    config = SampleConfig(length=500, stop="ab")
    free = [each.text for each in sample_many(RUNNER, VOCABULARY, SampleConfig(length=500), n=40, seed=2)]
    stopped = sample_many(RUNNER, VOCABULARY, config, n=40, seed=2)
    assert any(each.text.endswith("ab") for each in stopped)
    for text, each in zip(free, stopped, strict=True):
        assert each.text == (text[: text.index("ab") + 2] if "ab" in text else text)
        assert not (each.has_ended and "ab" in text)
    assert "".join(sample(RUNNER, VOCABULARY, config, seed=2)) == stopped[0].text


def test_stop_inside_a_word_cuts_the_word() -> None:
    words = Vocabulary.build({"apple": 1, " ": 1}, unit="word")
    config = SampleConfig(length=100, stop="e ap")
    runner = ClockworkRunner.random(words, seed=1)
    runner.logits[:, words.eos] = -99
    drawn = sample_many(runner, words, config, seed=0)[0].text
    assert drawn.endswith("e ap")
    assert "".join(sample(runner, words, config, seed=0)) == drawn


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("ab", max_size=3), max_size=12))
def test_stop_string_is_found_across_pieces(stop: str, pieces: list[str]) -> None:
    watch, text = StopString(stop), ""
    for piece in pieces:
        end = watch.completed_in(piece)
        if end is not None:
            text += piece[:end]
            assert 0 < end <= len(piece)
            assert text.index(stop) + len(stop) == len(text)
            return
        text += piece
    assert stop not in text


def test_streams_of_one_runner_do_not_disturb_each_other() -> None:
    runner = real_runner()
    alone = ["".join(sample(runner, VOCABULARY, LENGTH, seed=seed)) for seed in range(2)]
    streams = [sample(runner, VOCABULARY, LENGTH, seed=seed) for seed in range(2)]
    texts = ["", ""]
    for _ in range(30):
        texts = [text + next(stream, "") for text, stream in zip(texts, streams, strict=True)]
    assert texts == alone


def test_values_out_of_range() -> None:
    with pytest.raises(ConfigError, match="`seed` is -1"):
        sample(RUNNER, VOCABULARY, LENGTH, seed=-1)
    with pytest.raises(ConfigError, match="`seed` is True"):
        sample_each(RUNNER, VOCABULARY, LENGTH, seed=True)
    with pytest.raises(ConfigError, match="`n` is 0"):
        sample_many(RUNNER, VOCABULARY, LENGTH, n=0)


@pytest.mark.parametrize(
    ("kernels", "threads", "worth", "together"),
    [
        ("SkylakeX", 1, 1, 70),
        ("SkylakeX", 2, 10**9, 70),
        ("SkylakeX", 2, 1, 35),
        ("Haswell", 2, 1, 70),  # 35 texts of a thread are too few where it has to pack the weights
    ],
)
def test_a_batch_is_split_over_threads_where_they_are_worth_it(
    kernels: str, threads: int, worth: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And draws the same texts, also when streams end and the others go on."""
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({kernels}))
    runner = real_runner(dtype=np.float64)
    expected = [drawn.text for drawn in sample_many(runner, VOCABULARY, LENGTH, n=70, seed=6)]
    monkeypatch.setattr("charlm.sampling.sampler.WORTH_A_THREAD", worth)
    sizes: list[int] = []
    walk = PreparedNetwork.stepper

    def watched(self: PreparedNetwork, state: NetworkState) -> Stepper:
        sizes.append(len(state[0][0]))
        return walk(self, state)

    monkeypatch.setattr(PreparedNetwork, "stepper", watched)
    drawn = sample_many(runner, VOCABULARY, LENGTH, n=70, seed=6, threads=threads)
    assert [text.text for text in drawn] == expected
    assert sizes.count(max(sizes)) == 70 // together
    assert max(sizes) == together
    assert min(sizes) < together


def test_batches_on_several_threads_draw_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"SkylakeX"}))
    runner = ClockworkRunner.uniform(VOCABULARY)
    alone = sample_many(runner, VOCABULARY, LENGTH, n=30, seed=4)
    monkeypatch.setattr("charlm.sampling.sampler.WORTH_A_THREAD", 1)
    assert sample_many(runner, VOCABULARY, LENGTH, n=30, seed=4, threads=3) == alone
