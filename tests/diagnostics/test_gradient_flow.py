"""Gradients of a model on a text: positions, averages, and figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.gradient_flow import GradientFlow, encode_text, measure_gradients
from charlm.diagnostics.gradient_norms import gradient_norms
from charlm.diagnostics.tuning import DiagnosticsTuning
from charlm.errors import ConfigError, EmptyCorpusError
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))


def model(cell: str = "lstm", lines: bool = False) -> LanguageModel:
    network = Network(NetworkConfig(cell, 6, 2), len(VOCABULARY), start=VOCABULARY.eos)
    params = network.initial(np.random.default_rng(0))
    return LanguageModel(network, params, VOCABULARY, TextConfig(lines=lines))


def text(size: int) -> str:
    return "".join(np.random.default_rng(1).choice(list("abcde \n"), size))


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_norms_are_means_over_positions(cell: str) -> None:
    """Here the positions are all characters with 20 others before them."""
    found = model(cell).gradients(text(40), back=20, places=100)
    ids = np.concatenate([[VOCABULARY.eos], VOCABULARY.encode(text(40))])
    network = model(cell).network
    exact = network.parameters(model(cell).params.flat.astype(np.float64))
    start = network.zero_state(1, np.float64)
    each = [gradient_norms(network, exact, ids[: t + 1, None], ids[[t + 1]], start)[:, :21, 0] for t in range(20, 40)]
    assert set(found.counts.tolist()) == {20}
    np.testing.assert_allclose(found.norms, np.mean(each, axis=0), rtol=1e-12)


def test_short_text_has_counts_of_zero_beyond_its_start() -> None:
    found = model().gradients("abcd", back=6)
    assert found.counts.tolist() == [4, 3, 2, 1, 0, 0, 0]
    assert found.reach == 3
    assert np.isfinite(found.norms[:, :4]).all()
    assert np.isnan(found.norms[:, 4:]).all()


def test_long_text_has_all_distances_at_all_positions() -> None:
    found = model().gradients(text(900), back=30, places=50)
    assert set(found.counts.tolist()) == {50}
    assert np.isfinite(found.norms).all()


def test_batches_of_positions_equal_one_batch() -> None:
    at_once = model().gradients(text(900), back=10, places=40)
    steps = DiagnosticsTuning().warm_up_steps + 11
    tuning = DiagnosticsTuning(max_window_values=6 * 3 * 6 * steps * 7)  # 7 positions
    ids = encode_text(VOCABULARY, text(900), lines=False)
    in_batches = measure_gradients(model().network, model().params, ids, back=10, places=40, tuning=tuning)
    np.testing.assert_allclose(in_batches.norms, at_once.norms, rtol=1e-12)
    np.testing.assert_array_equal(in_batches.counts, at_once.counts)


def test_lines_are_separate_texts() -> None:
    """In EOS a b c, one in four has three earlier states of its line, and none has four."""
    found = model(lines=True).gradients("abc\n\nabc\nabc\nabc\n", back=4, places=100)
    assert found.counts.tolist() == [12, 9, 6, 3, 0]
    assert np.isfinite(found.norms[:, :4]).all()
    assert np.isnan(found.norms[:, 4]).all()


def test_figures_of_a_known_curve_are_exact() -> None:
    norms = [[9.0, 1.0, 0.5, 0.25, 0.125], [1, 1, 0.1, 0.001, 1e-5], [1, 2, 4, 8, 16]]
    flow = GradientFlow(np.array(norms), np.ones(5))
    assert flow.factor(0) == pytest.approx(0.5)
    assert flow.factor(2) == pytest.approx(2)
    assert [flow.steps_until_vanished(layer) for layer in range(3)] == [None, 3, None]
    assert flow.as_json()["factor_per_step"][0] == pytest.approx(0.5)


def test_non_finite_numbers_become_null() -> None:
    flow = GradientFlow(np.array([[1.0, math.inf, math.nan]]), np.array([1, 1, 0]))
    assert math.isnan(flow.factor(0))
    assert flow.as_json() == {
        "norms": [[1.0, None, None]],
        "places": [1, 1, 0],
        "factor_per_step": [None],
        "steps_until_one_percent": [None],
    }


def test_overflow_of_float64_gives_no_warning() -> None:
    exploding = model("rnn-relu")
    exploding.params.flat[...] = 1e19
    flow = exploding.gradients(text(400), back=40, places=3)
    assert flow.as_json()["places"] == [3] * 41


def test_settings_out_of_range_and_empty_texts_are_refused() -> None:
    with pytest.raises(ConfigError, match="`back` is 0"):
        model().gradients("abc", back=0)
    with pytest.raises(ConfigError, match="`places` is 0"):
        model().gradients("abc", places=0)
    with pytest.raises(EmptyCorpusError, match="no character"):
        model().gradients("")
    with pytest.raises(EmptyCorpusError, match="no character"):
        model(lines=True).gradients("\n\n")
