"""Filters return a distribution, and keep the ids that they are documented to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from charlm.cli.sample import command
from charlm.config import SampleConfig
from charlm.sampling.filters import FILTERS
from charlm.sampling.filters.min_p import min_p
from charlm.sampling.filters.temperature import temperature
from charlm.sampling.filters.top_k import top_k
from charlm.sampling.filters.top_p import top_p

SETTINGS = {
    "temperature": st.floats(1e-300, 1e308),
    "top_k": st.integers(0, 12),
    "top_p": st.floats(0.001, 1.0),
    "min_p": st.floats(0, 1),
    "word_temperature": st.floats(0, 10),
    "no_loop": st.integers(0, 5),
    "max_copy": st.none(),
}
OF_LOGITS = [name for name, filter_ in FILTERS.items() if filter_.apply]
LOGITS = st.tuples(st.integers(2, 9), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float32, shape[::-1], elements=st.floats(-50, 50, width=32))
)


def filter_of(name: str) -> Callable[[np.ndarray, Any], np.ndarray]:
    """Return the function of a filter of the logits alone."""
    apply = FILTERS[name].apply
    assert apply is not None
    return apply


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", OF_LOGITS)
@given(data=st.data(), logits=LOGITS)
def test_a_distribution_stays_a_distribution(name: str, data: st.DataObject, logits: np.ndarray) -> None:
    logits[:, 0] = -np.inf  # an id that was excluded before stays excluded
    before = logits.copy()
    result = filter_of(name)(logits, data.draw(SETTINGS[name]))
    assert result.shape == logits.shape
    assert result.dtype == logits.dtype
    np.testing.assert_array_equal(logits, before)
    probabilities = softmax(result)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[:, 0] == 0).all()
    smallest_kept = np.where(np.isfinite(result), logits, np.inf).min(axis=1, keepdims=True)
    assert (logits[~np.isfinite(result)] <= np.broadcast_to(smallest_kept, result.shape)[~np.isfinite(result)]).all()


@pytest.mark.parametrize("name", OF_LOGITS)
@given(data=st.data(), logits=LOGITS)
def test_rows_are_filtered_one_by_one(name: str, data: st.DataObject, logits: np.ndarray) -> None:
    value = data.draw(SETTINGS[name])
    together = filter_of(name)(logits, value)
    alone = np.stack([filter_of(name)(row, value) for row in logits])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", OF_LOGITS)
@given(logits=LOGITS)
def test_neutral_setting_changes_nothing(name: str, logits: np.ndarray) -> None:
    result = filter_of(name)(logits, FILTERS[name].neutral)
    np.testing.assert_allclose(softmax(result), softmax(logits), rtol=1e-5)


@given(logits=LOGITS, k=st.integers(1, 12))
def test_top_k_keeps_the_k_greatest_and_ties(logits: np.ndarray, k: int) -> None:
    kept = np.isfinite(top_k(logits, k))
    for row, keeps in zip(logits, kept, strict=True):
        smallest = np.sort(row)[::-1][min(k, len(row)) - 1]
        np.testing.assert_array_equal(keeps, row >= smallest)


@given(logits=LOGITS, p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_that_reach_p(logits: np.ndarray, p: float) -> None:
    kept = np.isfinite(top_p(logits, p))
    for probabilities, keeps in zip(softmax(logits), kept, strict=True):
        smallest = probabilities[keeps].min()
        assert probabilities[keeps].sum() >= p - 1e-5
        assert probabilities[probabilities > smallest].sum() < p + 1e-5  # without the last of them: not reached


def test_every_filter_is_a_setting_with_its_neutral_value_and_an_option() -> None:
    defaults = {field.name: field.default for field in fields(SampleConfig)}
    options = {parameter.name for parameter in command.params}
    assert set(FILTERS) == set(SETTINGS)
    for name, filter_ in FILTERS.items():
        assert (filter_.apply is None) != (filter_.make is None)
        assert name in options
        assert name == "temperature" or defaults[name] == filter_.neutral


def test_worked_numbers() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    np.testing.assert_allclose(softmax(temperature(logits, 0.5)), np.array([25, 9, 2.25, 0.25]) / 36.5)
    np.testing.assert_allclose(softmax(top_k(logits, 2)), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(softmax(min_p(logits, 0.3)), np.array([50, 30, 15, 0]) / 95)
    np.testing.assert_allclose(softmax(top_p(logits, 0.75)), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(softmax(top_p(logits, 0.81)), np.array([50, 30, 15, 0]) / 95)


def test_top_p_keeps_no_more_if_p_is_reached_exactly() -> None:
    """Weights of which the first few sum to p without rounding."""
    exact = 0
    for seed in range(40):
        logits = -np.sort(np.random.default_rng(seed).exponential(1, 6))
        reached = np.exp(logits - logits[0]).cumsum()
        for count in range(1, 6):
            p = reached[count - 1] / reached[-1]
            if p * reached[-1] == reached[count - 1]:
                exact += 1
                assert np.isfinite(top_p(logits, p)).sum() == count
    assert exact > 20


def test_no_temperature_overflows() -> None:
    logits = np.array([1e30, -1e30, 1.0], np.float32)
    np.testing.assert_array_equal(softmax(temperature(logits, 1e-300)), [1, 0, 0])
    for value in (1e9, 1e39, 1e308):
        np.testing.assert_allclose(softmax(temperature(np.float32([5, 1, 0]), value)), 1 / 3)
        np.testing.assert_allclose(softmax(temperature(np.float32([5, -np.inf, 0]), value)), [0.5, 0, 0.5])
