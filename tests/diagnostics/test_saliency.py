"""Saliency: equal to numeric differences, zero before a reset, the same alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.saliency import measure_saliency
from charlm.diagnostics.tuning import DiagnosticsTuning
from charlm.errors import ConfigError
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from tests.diagnostics.naive import VOCABULARY, log_prob, model, text
from tests.nn.gradients import assert_close, directional


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("cell", "tied"), [*((cell, False) for cell in CELLS), ("lstm", True)])
def test_saliency_equals_numeric_differences(cell: str, tied: bool, layers: int) -> None:
    """The input x_(t-k) is scaled by 1 + s; the derivative of ln p at s = 0 is its saliency."""
    found, sentence, index = model(cell, layers, tied=tied), "abcade", 5
    ids = found.ids_of(sentence)
    saliency = found.saliency(sentence, index)
    each = [saliency.start, *saliency.values]
    for step in range(index + 1):

        def scaled(s: float, step: int = step) -> float:
            xs = np.eye(len(VOCABULARY))[ids[: index + 1]]
            xs[step] *= 1 + s
            return log_prob(found, xs, ids[index + 1])

        assert_close(directional(scaled), float(each[step]), f"{cell} x {layers}, input {step}", 2e-5)


def test_saliency_of_a_tied_network_is_that_of_the_one_hot_network_with_the_same_products() -> None:
    tied, one_hot = (Network(NetworkConfig("gru", 6, 2, tied=tied), len(VOCABULARY)) for tied in (True, False))
    params = tied.initial(np.random.default_rng(0), np.float64)
    same = one_hot.parameters(np.zeros(one_hot.size))
    for name, view in same.items():
        view[...] = params[name] if name != "rnn.weight_ih_l0" else params[name] @ params["head.weight"].T
    models = [
        LanguageModel(network, [own], VOCABULARY, TextConfig()) for network, own in ((tied, params), (one_hot, same))
    ]
    found, expected = (model.saliency("abcade", 5).values for model in models)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("cell", CELLS)
def test_batch_of_targets_equals_each_alone(cell: str) -> None:
    found, sentence = model(cell, lines=True), "abca\nbcd e\nabcabc" * 2
    network, params = found.inspected(0)
    ids, targets = found.ids_of(sentence), np.array([3, 20, 11, 1, 34])
    tuning = DiagnosticsTuning(max_window_values=2 * network.window_size(8, 1))  # two targets a batch
    batch = measure_saliency(network, params, ids, targets, back=8, tuning=tuning)
    for row, target in zip(batch, targets.tolist(), strict=True):
        alone = found.saliency(sentence, target - 1)
        nearest_first = [*alone.values[::-1], alone.start, *[0] * 8][:8]
        np.testing.assert_allclose(row, nearest_first, rtol=1e-9, atol=1e-12)


def test_characters_before_a_reset_have_no_saliency() -> None:
    values = model(lines=True).saliency("abc\nde", 5).values
    assert (values[:3] == 0).all()
    assert (values[3:] != 0).all()  # the newline is the EOS that the line starts with


def test_first_character_depends_on_eos_alone() -> None:
    found = model().saliency("abc", 0)
    assert found.values.size == 0
    assert found.start != 0
    assert repr(found) == "<Saliency of 'a' after '': no character before it>"


def test_strongest_are_in_order_of_their_absolute_value() -> None:
    found = model().saliency(text(30), 20)
    strongest = found.strongest(4)
    assert [abs(value) for *_, value in strongest] == sorted(abs(found.values), reverse=True)[:4]
    assert all(found.tokens[index] == token and found.values[index] == value for index, token, value in strongest)


def test_index_outside_the_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="`index` is 3; expected 0 to 2"):
        model().saliency("abc", 3)
    with pytest.raises(ConfigError, match="`text` is empty"):
        model().saliency("", 0)
