"""Uniform random numbers and inverse transform sampling."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import SampleConfig
from charlm.errors import DivergedError
from charlm.sampling.drawing import TokenSampler, uniform_numbers, uniform_rows

UNK = (1,)


def test_uniform_numbers_depend_only_on_seed_and_stream() -> None:
    few = np.array(list(islice(uniform_rows(7, range(3), 64), 600)))
    many = np.array(list(islice(uniform_rows(7, range(2, 6), 10), 600)))
    np.testing.assert_array_equal(few[:, 2], many[:, 0])
    assert not np.intersect1d(few, many[:, 1:]).size
    assert not np.intersect1d(few, next(uniform_numbers(8, 0, 64))).size


@pytest.mark.parametrize(
    "config", [SampleConfig(1.0), SampleConfig(0.8), SampleConfig(temperature=0.7, top_k=5, top_p=0.9)]
)
def test_drawn_frequencies_follow_the_softmax(config: SampleConfig) -> None:
    """Pearson's chi-square; 99.9 % of such statistics are below the bound."""
    logits = np.random.default_rng(1).normal(0, 1.5, 9).astype(np.float32)
    expected = logits.astype(np.float64)
    expected[1] = -np.inf
    expected /= config.temperature
    if config.top_k:
        expected[expected < np.sort(expected)[-5]] = -np.inf
        weights = np.sort(np.exp(expected))[::-1]
        count = 1 + np.count_nonzero(np.cumsum(weights)[:-1] < 0.9 * weights.sum())
        expected[np.exp(expected) < weights[count - 1]] = -np.inf
    expected = np.exp(expected) / np.exp(expected).sum()
    draws = 20_000
    numbers = np.random.default_rng(2).random(draws)
    ids, _ = TokenSampler(config, UNK).draw(np.repeat(logits[None], draws, axis=0), numbers)
    counts = np.bincount(ids, minlength=9)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    statistic = ((counts - draws * expected)[possible] ** 2 / (draws * expected[possible])).sum()
    assert statistic < {8: 26.1, 5: 20.5, 4: 18.5, 3: 16.3}[np.count_nonzero(possible)]


@pytest.mark.parametrize(
    ("config", "drawn"),
    [
        (SampleConfig(temperature=0.5, top_p=0.65), {0}),  # 0.68 of the scaled weights; top-p first keeps two
        (SampleConfig(temperature=2.0, top_p=0.75), {0, 2, 3}),  # 0.36, 0.64, 0.83; top-p first keeps two
        (SampleConfig(1.0, top_k=3, top_p=0.82), {0, 2}),  # 0.84 of the three; top-p first keeps all three
    ],
)
def test_temperature_comes_before_top_k_and_top_k_before_top_p(config: SampleConfig, drawn: set[int]) -> None:
    logits = np.log(np.array([0.5, 1.0, 0.3, 0.15, 0.05]))
    logits[1] = 9
    token_sampler, numbers = TokenSampler(config, UNK), np.linspace(0, 1, 500, endpoint=False)
    assert {token_sampler.draw_one(logits, float(number)) for number in numbers} == drawn
    assert set(token_sampler.draw(np.repeat(logits[None], 500, axis=0), numbers)[0].tolist()) == drawn


@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]))
def test_one_stream_draws_the_same_as_a_batch(seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 5, (6, 7)).astype(dtype)
    numbers = rng.random(6)
    for config in (
        SampleConfig(),
        SampleConfig(1.0),
        SampleConfig(temperature=0),
        SampleConfig(temperature=0.6),
        SampleConfig(temperature=2, top_k=3, top_p=0.8),
    ):
        token_sampler = TokenSampler(config, UNK)
        together = token_sampler.draw(logits, numbers)[0].tolist()
        alone = [token_sampler.draw_one(logits[b], float(numbers[b])) for b in range(6)]
        assert together == alone
        assert 1 not in together


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_an_id_without_probability_is_never_drawn(uniform: float) -> None:
    """At both ends of the vocabulary: UNK, and ids whose weights underflow to 0."""
    logits = np.array([-1e4, 50, 0, -1e4, 0.5, -1e4], np.float32)
    assert TokenSampler(SampleConfig(), UNK).draw_one(logits, uniform) in (2, 4)
    assert TokenSampler(SampleConfig(), (5,)).draw_one(logits, uniform) == 1
    assert TokenSampler(SampleConfig(temperature=0), UNK).draw_one(logits, uniform) == 4
    logits[1] = 500  # all others underflow compared with it
    ids, log_probs = TokenSampler(SampleConfig(), UNK).draw(logits[None], np.array([uniform]))
    assert ids[0] in (2, 4)
    assert log_probs[0] == pytest.approx(logits[ids[0]] - 500)


@pytest.mark.parametrize("offset", [-1e4, -700, 0, 700, 1e4])
@pytest.mark.parametrize("config", [SampleConfig(1.0), SampleConfig(1.0, top_k=4)])
def test_an_offset_of_the_logits_changes_nothing(offset: float, config: SampleConfig) -> None:
    """The exp of the logits may be too small or too large for a float; the rows of a batch may be far apart."""
    logits = np.array([-2.0, 3, -1, 0, -3])
    token_sampler, numbers = TokenSampler(config, UNK), np.linspace(0, 1, 50, endpoint=False)
    weights = np.exp(logits) * [1, 0, 1, 1, 1]
    expected = np.searchsorted(np.cumsum(weights), numbers * weights.sum(), "right").tolist()
    assert [token_sampler.draw_one(logits + offset, float(number)) for number in numbers] == expected
    offsets = np.where(np.arange(50) % 2, offset, 0)
    ids, log_probs = token_sampler.draw(logits + offsets[:, None], numbers)
    assert ids.tolist() == expected
    np.testing.assert_allclose(log_probs, (logits - np.log(np.exp(logits).sum()))[ids], atol=1e-9)


@pytest.mark.parametrize(("settings", "drawn"), [({}, 4), ({"top_k": 3}, 3), ({"top_p": 0.99}, 4)])
def test_the_highest_temperature_draws_uniformly(settings: dict[str, float], drawn: int) -> None:
    """From all ids that may be drawn, for one stream and a batch, with filters and without."""
    logits = np.array([3, 50, -2, 1, 0], np.float32)
    numbers = np.arange(0.5, 12) / 12
    for value in (1e39, 1.7e308):
        token_sampler = TokenSampler(SampleConfig(temperature=value, **settings), UNK)
        alone = [token_sampler.draw_one(logits, float(number)) for number in numbers]
        assert np.unique(alone, return_counts=True)[1].tolist() == [12 // drawn] * drawn
        assert token_sampler.draw(np.repeat(logits[None], 12, axis=0), numbers)[0].tolist() == alone


def test_logits_that_are_not_finite_are_refused() -> None:
    logits = np.array([1, 2, np.nan, 4], np.float32)
    for bad in (logits, np.where(np.isnan(logits), np.inf, logits)):
        with pytest.raises(DivergedError, match="not finite"), np.errstate(invalid="ignore"):
            TokenSampler(SampleConfig(), UNK).draw_one(bad, 0.5)
    with pytest.raises(DivergedError, match="not finite"):
        TokenSampler(SampleConfig(), UNK).draw(np.stack([logits * 0, np.ones(4)]), np.full(2, 0.5))


@pytest.mark.parametrize("settings", [{}, {"temperature": 1}, {"temperature": 0}, {"temperature": 0.3, "top_k": 2}])
def test_log_probabilities_are_those_of_the_unfiltered_softmax(settings: dict[str, float]) -> None:
    logits = np.random.default_rng(3).normal(0, 3, (4, 5)).astype(np.float32)
    given_logits = logits.copy()
    ids, log_probs = TokenSampler(SampleConfig(**settings), UNK).draw(logits, np.array([0.1, 0.9, 0.5, 0.3]))
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(log_probs, np.log(probabilities[np.arange(4), ids]), rtol=1e-5)
    np.testing.assert_array_equal(logits, given_logits)
