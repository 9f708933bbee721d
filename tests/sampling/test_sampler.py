"""Texts drawn from the clockwork model and from real networks."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

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
from charlm.sampling.sampler import Sample, Sampler
from charlm.sampling.stopping import StopString
from charlm.sampling.tuning import SamplingTuning
from charlm.scoring.scorer import score_texts
from charlm.text.vocabulary import Vocabulary
from tests.sampling.clockwork import CLOCK, ClockworkNetwork, log_prob

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))
NETWORK = ClockworkNetwork.random(VOCABULARY)
NETWORK.logits[:, VOCABULARY.eos] -= 2
LENGTH = SampleConfig(length=30)
THREADED = SamplingTuning(min_thread_multiplications=1)


def real_network(cell: str = "lstm", dtype: type = np.float32) -> PreparedNetwork:
    network = Network(NetworkConfig(cell, 12, 2), len(VOCABULARY))
    params = network.initial(np.random.default_rng(5), dtype)
    params.flat *= 1.5
    return PreparedNetwork(network, params)


def sampler_of(network: Any, config: SampleConfig = LENGTH, **settings: Any) -> Sampler:
    return Sampler(network, VOCABULARY, config, **settings)


def stream(network: Any, config: SampleConfig = LENGTH, prompt: str = "", seed: int = 0) -> str:
    return "".join(sampler_of(network, config).stream(prompt, seed=seed))


def draw(
    network: Any, config: SampleConfig = LENGTH, prompt: str = "", n: int = 1, seed: int | None = 0
) -> list[Sample]:
    return list(sampler_of(network, config).texts(prompt, n=n, seed=seed))


def test_same_seed_gives_the_same_text_in_a_stream_and_in_a_batch() -> None:
    streamed = stream(NETWORK, seed=3)
    assert streamed == draw(NETWORK, seed=3)[0].text
    assert streamed
    assert len({draw(NETWORK, seed=seed)[0].text for seed in range(8)}) > 4


def test_no_seed_gives_a_new_text_each_time() -> None:
    config = SampleConfig(length=60, top_k=8)
    assert len({draw(ClockworkNetwork.uniform(VOCABULARY), config, seed=None)[0] for _ in range(4)}) > 1


@pytest.mark.parametrize("prompt", ["", "ab"])
@pytest.mark.parametrize("cell", CELLS)
def test_text_k_does_not_depend_on_n(cell: str, prompt: str) -> None:
    network = real_network(cell, np.float64)
    nine = [drawn.text for drawn in draw(network, prompt=prompt, n=9, seed=1)]
    assert [drawn.text for drawn in draw(network, prompt=prompt, n=4, seed=1)] == nine[:4]
    assert stream(network, prompt=prompt, seed=1) == nine[0]
    in_pairs = sampler_of(network, tuning=SamplingTuning(max_batch_texts=2))
    assert [drawn.text for drawn in islice(in_pairs.texts(prompt, seed=1), 9)] == nine
    assert [drawn.text for drawn in in_pairs.texts(prompt, n=9, seed=1)] == nine


@pytest.mark.parametrize("config", [LENGTH, SampleConfig(length=30, temperature=0), SampleConfig(length=30, top_k=3)])
def test_no_text_is_empty_even_if_the_model_expects_its_end(config: SampleConfig) -> None:
    """EOS never follows EOS in training; the log-probabilities are those of the model nevertheless."""
    network = ClockworkNetwork.random(VOCABULARY, seed=2)
    network.logits[:, VOCABULARY.eos] += 5
    drawn = draw(network, config, n=50)
    assert all(each.text for each in drawn)
    assert any(len(each.text) == 1 and each.has_ended for each in drawn)
    for each in drawn:
        ids = VOCABULARY.encode(each.text).tolist() + [VOCABULARY.eos] * each.has_ended
        assert each.log_prob == pytest.approx(log_prob(network, ids, 0), abs=1e-9)
    assert stream(network, config) == drawn[0].text
    assert any(not each.text for each in draw(network, config, prompt="a", n=50))


def test_no_text_ends_if_it_must_not_end() -> None:
    network = ClockworkNetwork.random(VOCABULARY, seed=2)
    network.logits[:, VOCABULARY.eos] += 5
    config = SampleConfig(length=9, can_end=False)
    assert {(len(each.text), each.has_ended) for each in draw(network, config, prompt="a", n=50)} == {(9, False)}
    assert len(stream(network, config, prompt="a")) == 9


def test_texts_of_a_batch_are_yielded_before_the_next_batch_is_drawn() -> None:
    network = ClockworkNetwork.random(VOCABULARY)
    network.logits[:, VOCABULARY.eos] = -99
    size = SamplingTuning.max_batch_texts
    next(sampler_of(network, SampleConfig(length=2)).texts(n=2 * size, seed=0))
    assert network.rows_read == 2 * size


def test_texts_end_at_eos_or_at_the_length() -> None:
    drawn = draw(NETWORK, n=200)
    assert {each.has_ended for each in drawn} == {True, False}
    assert all(len(each.text) == 30 for each in drawn if not each.has_ended)
    assert min(len(each.text) for each in drawn if each.has_ended) < 5
    assert not any(character in each.text for each in drawn for character in "\ufffd<>")


def test_length_0_draws_nothing() -> None:
    nothing = SampleConfig(length=0)
    assert stream(NETWORK, nothing) == ""
    assert draw(NETWORK, nothing, n=2) == [Sample("", 0.0, False)] * 2


def test_temperature_0_takes_the_most_probable_and_never_unk() -> None:
    network = ClockworkNetwork.random(VOCABULARY, seed=4)
    network.logits[:, VOCABULARY.unk] = 99
    network.logits[:, VOCABULARY.eos] = -99
    greedy = SampleConfig(temperature=0, length=9)
    text = stream(network, greedy, prompt="a")
    ids = [0, *VOCABULARY.encode("a" + text).tolist()]
    for step, (last, chosen) in enumerate(pairwise(ids[1:]), start=1):
        assert chosen == 2 + network.logits[step % CLOCK, 2:, last].argmax()
    assert draw(network, greedy, prompt="a")[0].text == text


def test_top_k_of_1_equals_temperature_0() -> None:
    settings = [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-9}]
    configs = [SampleConfig(length=20, **setting) for setting in settings]  # type: ignore[arg-type]
    assert len({stream(NETWORK, config, seed=seed) for seed, config in enumerate(configs)}) == 1


@pytest.mark.parametrize("prompt", ["", "a", "ab c", "a?é"])
def test_log_prob_of_a_sample_equals_its_score(prompt: str) -> None:
    """At temperature 1 and through filters, with unknown characters in the prompt, ended or not."""
    for config in (LENGTH, SampleConfig(length=12, temperature=0.5, top_k=4), SampleConfig(length=9, stop="a")):
        for drawn in draw(NETWORK, config, prompt, n=20):
            ids = VOCABULARY.encode(prompt + drawn.text).tolist() + [VOCABULARY.eos] * drawn.has_ended
            assert drawn.log_prob == pytest.approx(log_prob(NETWORK, ids, len(prompt)), abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_log_prob_of_a_sample_of_a_real_network_equals_its_score(cell: str) -> None:
    network = real_network(cell)
    for drawn in draw(network, prompt="ba", n=20):
        score = next(score_texts(network, VOCABULARY, [drawn.text], end=drawn.has_ended, context="ba"))
        assert drawn.log_prob == pytest.approx(score.log_prob, abs=1e-4)


def test_a_text_ends_after_the_stop_string() -> None:
    config = SampleConfig(length=500, stop="ab")
    unstopped = [each.text for each in draw(NETWORK, SampleConfig(length=500), n=40, seed=2)]
    stopped = draw(NETWORK, config, n=40, seed=2)
    assert any(each.text.endswith("ab") for each in stopped)
    for text, each in zip(unstopped, stopped, strict=True):
        assert each.text == (text[: text.index("ab") + 2] if "ab" in text else text)
        assert not (each.has_ended and "ab" in text)
    assert stream(NETWORK, config, seed=2) == stopped[0].text


def test_a_stop_string_inside_a_word_cuts_the_word() -> None:
    words = Vocabulary.build({"apple": 1, " ": 1}, unit="word")
    network: Any = ClockworkNetwork.random(words, seed=1)
    network.logits[:, words.eos] = -99
    sampler = Sampler(network, words, SampleConfig(length=100, stop="e ap"))
    [drawn] = sampler.texts(n=1, seed=0)
    assert drawn.text.endswith("e ap")
    assert "".join(sampler.stream(seed=0)) == drawn.text


@given(st.text("ab", min_size=1, max_size=4), st.lists(st.text("ab", max_size=3), max_size=12))
def test_a_stop_string_is_found_across_pieces(stop: str, pieces: list[str]) -> None:
    detector, text = StopString(stop), ""
    for piece in pieces:
        end = detector.end_in(piece)
        if end is not None:
            text += piece[:end]
            assert 0 < end <= len(piece)
            assert text.index(stop) + len(stop) == len(text)
            return
        text += piece
    assert stop not in text


def test_streams_of_one_network_are_independent() -> None:
    sampler = sampler_of(real_network())
    separately = ["".join(sampler.stream(seed=seed)) for seed in range(2)]
    streams = [sampler.stream(seed=seed) for seed in range(2)]
    alternating = ["", ""]
    for _ in range(30):
        alternating = [text + next(stream, "") for text, stream in zip(alternating, streams, strict=True)]
    assert alternating == separately


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="`seed` is -1"):
        sampler_of(NETWORK).stream(seed=-1)
    with pytest.raises(ConfigError, match="`seed` is True"):
        sampler_of(NETWORK).texts(seed=True)
    with pytest.raises(ConfigError, match="`n` is 0"):
        sampler_of(NETWORK).texts(n=0)


@pytest.mark.parametrize(
    ("kernels", "threads", "min_multiplications", "streams"),
    [
        ("SkylakeX", 1, 1, 70),
        ("SkylakeX", 2, 10**9, 70),
        ("SkylakeX", 2, 1, 35),
        ("Haswell", 2, 1, 70),  # 35 texts per thread are too few where each thread packs the weights
    ],
)
def test_a_batch_is_split_over_threads_if_they_are_faster(
    kernels: str, threads: int, min_multiplications: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same texts are drawn, also when some texts end before the others."""
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({kernels}))
    network = real_network(dtype=np.float64)
    expected = [drawn.text for drawn in draw(network, n=70, seed=6)]
    sizes: list[int] = []
    make_stepper = PreparedNetwork.stepper

    def watched(self: PreparedNetwork, state: NetworkState) -> Stepper:
        sizes.append(len(state[0][0]))
        return make_stepper(self, state)

    monkeypatch.setattr(PreparedNetwork, "stepper", watched)
    tuning = SamplingTuning(min_thread_multiplications=min_multiplications)
    drawn = list(sampler_of(network, threads=threads, tuning=tuning).texts(n=70, seed=6))
    assert [text.text for text in drawn] == expected
    assert sizes.count(max(sizes)) == 70 // streams
    assert max(sizes) == streams
    assert min(sizes) < streams


def test_batches_on_several_threads_draw_the_same_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"SkylakeX"}))
    network = ClockworkNetwork.uniform(VOCABULARY)
    on_threads = list(sampler_of(network, threads=3, tuning=THREADED).texts(n=30, seed=4))
    assert on_threads == draw(network, n=30, seed=4)


@pytest.mark.parametrize("config", [LENGTH, SampleConfig(length=30, stop="ab", top_k=4), SampleConfig(match="[a-c]*")])
def test_log_probability_has_a_part_for_each_character_and_the_end(config: SampleConfig) -> None:
    network = real_network(dtype=np.float64)
    for sample in Sampler(network, VOCABULARY, config).texts("ab", n=30, seed=2):
        [score] = score_texts(network, VOCABULARY, [sample.text], end=sample.has_ended, context="ab")
        assert len(sample.log_probs) == score.characters
        assert sum(sample.log_probs) == pytest.approx(sample.log_prob)
        first = next(iter(score_texts(network, VOCABULARY, [sample.text[:1]], context="ab")))
        if sample.text:
            assert sample.log_probs[0] == pytest.approx(first.log_prob)


def test_text_without_a_maximum_length_is_endless_or_ends_by_itself() -> None:
    endless = SampleConfig(length=None, can_end=False)
    assert len(list(islice(Sampler(NETWORK, VOCABULARY, endless).stream(seed=1), 3000))) == 3000
    drawn = draw(NETWORK, SampleConfig(length=None), n=20)
    assert all(sample.has_ended for sample in drawn)
    assert draw(NETWORK, SampleConfig(length=None, match="a.*b"), n=3)[0].text.endswith("b")
