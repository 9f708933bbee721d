"""Gradients of a model on a text: which places count, averages, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.gradient_flow import WARM_UP, GradientFlow
from charlm.diagnostics.gradient_norms import gradient_norms
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
def test_the_average_is_over_the_places(cell: str) -> None:
    """Here: every character that has enough of the text before it."""
    found = model(cell).gradients(text(40), back=20, places=100)
    ids = np.concatenate([[VOCABULARY.eos], VOCABULARY.encode(text(40))])
    network = model(cell).network
    exact = network.parameters(model(cell).params.flat.astype(np.float64))
    start = network.zero_state(1, np.float64)
    each = [gradient_norms(network, exact, ids[: t + 1, None], ids[[t + 1]], start)[:, :21, 0] for t in range(20, 40)]
    assert set(found.places.tolist()) == {20}
    np.testing.assert_allclose(found.norms, np.mean(each, axis=0), rtol=1e-12)


def test_a_short_text_says_how_far_it_reaches() -> None:
    found = model().gradients("abcd", back=6)
    assert found.places.tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert np.isfinite(found.norms[:, :4]).all()
    assert np.isnan(found.norms[:, 4:]).all()


def test_a_long_text_reaches_all_the_way_back_at_every_place() -> None:
    found = model().gradients(text(900), back=30, places=50)
    assert set(found.places.tolist()) == {50}
    assert np.isfinite(found.norms).all()


def test_batches_of_places_equal_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = model().gradients(text(900), back=10, places=40)
    monkeypatch.setattr("charlm.diagnostics.gradient_flow.VALUES_AT_ONCE", 6 * 3 * 6 * (WARM_UP + 11) * 7)
    in_batches = model().gradients(text(900), back=10, places=40)
    np.testing.assert_allclose(in_batches.norms, at_once.norms, rtol=1e-12)
    np.testing.assert_array_equal(in_batches.places, at_once.places)


def test_lines_are_texts_of_their_own() -> None:
    """Of EOS a b c, one in four has three states of its line before it, and none has four."""
    found = model(lines=True).gradients("abc\n\nabc\nabc\nabc\n", back=4, places=100)
    assert found.places.tolist() == [12, 9, 6, 3, 0]
    assert np.isfinite(found.norms[:, :4]).all()
    assert np.isnan(found.norms[:, 4]).all()


def test_the_figures_of_a_known_curve() -> None:
    norms = [[9.0, 1.0, 0.5, 0.25, 0.125], [1, 1, 0.1, 0.001, 1e-5], [1, 2, 4, 8, 16]]
    flow = GradientFlow(np.array(norms), np.ones(5))
    assert flow.factor(0) == pytest.approx(0.5)
    assert flow.factor(2) == pytest.approx(2)
    assert [flow.steps_until_little(layer) for layer in range(3)] == [None, 3, None]
    assert flow.as_json()["factor_per_step"][0] == pytest.approx(0.5)


def test_what_is_not_finite_becomes_null() -> None:
    flow = GradientFlow(np.array([[1.0, math.inf, math.nan]]), np.array([1, 1, 0]))
    assert math.isnan(flow.factor(0))
    assert flow.as_json() == {
        "norms": [[1.0, None, None]],
        "places": [1, 1, 0],
        "factor_per_step": [None],
        "steps_until_one_percent": [None],
    }


def test_an_explosion_beyond_float64_is_told_and_no_warning() -> None:
    exploding = model("rnn-relu")
    exploding.params.flat[...] = 1e19
    flow = exploding.gradients(text(400), back=40, places=3)
    assert flow.as_json()["places"] == [3] * 41


def test_settings_out_of_range_and_empty_texts() -> None:
    with pytest.raises(ConfigError, match="`back` is 0"):
        model().gradients("abc", back=0)
    with pytest.raises(ConfigError, match="`places` is 0"):
        model().gradients("abc", places=0)
    with pytest.raises(EmptyCorpusError, match="no character"):
        model().gradients("")
    with pytest.raises(EmptyCorpusError, match="no character"):
        model(lines=True).gradients("\n\n")
