"""Activations: every state and gate equals the naive equations, in any chunks, for lines and members."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.activations import Activations, read_activations, read_cells
from charlm.diagnostics.tuning import DiagnosticsTuning
from charlm.errors import ConfigError
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.networks import make_network
from tests.diagnostics.naive import VOCABULARY, model, steps, text


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("cell", "tied"), [*((cell, False) for cell in CELLS), ("gru", True)])
def test_states_and_gates_equal_the_naive_equations(cell: str, tied: bool, layers: int, lines: bool) -> None:
    found, sentence = model(cell, layers, lines=lines, tied=tied), text(40)
    activations = found.activations(sentence)
    assert activations.tokens == tuple(sentence)
    ids = found.ids_of(sentence)
    assert (ids[1:] == VOCABULARY.eos).any() == lines
    for t, naive in enumerate(steps(found, np.eye(len(VOCABULARY))[ids])):
        for layer, (state, gates) in enumerate(naive):
            if t == 0:  # EOS before the text
                continue
            for name, values in zip(activations.states, state, strict=True):
                np.testing.assert_allclose(activations.states[name][layer, t - 1], values, atol=1e-12)
            for name, values in zip(activations.gates, gates, strict=True):
                np.testing.assert_allclose(activations.gates[name][layer, t - 1], values, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_names_all_its_gates_or_none(cell: str) -> None:
    found = find_cell(cell)
    assert len(found.gate_names) in (0, found.gates)
    assert len(found.gate_names) == len(found.is_sigmoid_gate) or not any(found.is_sigmoid_gate)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_chunks_equal_one_window(cell: str) -> None:
    found, sentence = model(cell), text(50)
    ids = found.ids_of(sentence)
    network, params = found.inspected(0)
    tuning = DiagnosticsTuning(max_window_values=7 * network.window_size(1, 1))
    chunked = read_activations(network, params, ids, tuple(sentence), tuning)
    whole = found.activations(sentence)
    for name in whole.states:
        np.testing.assert_allclose(chunked.states[name], whole.states[name], rtol=0, atol=1e-14)
    for name in whole.gates:
        np.testing.assert_allclose(chunked.gates[name], whole.gates[name], rtol=0, atol=1e-14)
    np.testing.assert_array_equal(read_cells(network, params, ids, tuning), chunked.cells)


def test_cells_are_tanh_of_c_or_h() -> None:
    lstm, gru = model("lstm").activations("abc"), model("gru").activations("abc")
    np.testing.assert_array_equal(lstm.cells, np.tanh(lstm.states["c"]))
    np.testing.assert_array_equal(gru.cells, gru.states["h"])


def test_saturation_is_the_fraction_of_characters_with_extreme_gates() -> None:
    forget = np.array([[[0.05, 0.95], [0.5, 0.99], [0.02, 0.2], [0.09, 0.91]]])
    found = Activations(("a",) * 4, {"h": forget}, {"forget": forget, "candidate": forget}, ("forget",))
    np.testing.assert_allclose(found.saturation("forget"), [[[0.75, 0]], [[0, 0.75]]])
    with pytest.raises(KeyError, match="candidate"):
        found.saturation("candidate")


def test_sigmoid_gates_are_named() -> None:
    assert model("lstm").activations("abc").sigmoid_gates == ("input", "forget", "output")
    assert model("gru").activations("abc").sigmoid_gates == ("reset", "update")
    assert model("rnn").activations("abc").gates == {}


def test_repr_names_sizes_and_arrays() -> None:
    assert repr(model("gru").activations("abcd")) == (
        "<Activations of 2 x 6 cells after 4 tokens: h, reset, update, candidate>"
    )


def test_empty_text_has_no_activations() -> None:
    assert model().activations("").states["h"].shape == (2, 0, 6)


def test_members_have_their_own_activations() -> None:
    found = model(members=2)
    first, second = (found.activations("abc", member=member).cells for member in (0, 1))
    np.testing.assert_array_equal(first, found.activations("abc").cells)
    assert not np.allclose(first, second)
    with pytest.raises(ConfigError, match="`member` is 2; expected 0 to 1"):
        found.activations("abc", member=2)


def test_bidirectional_model_is_refused() -> None:
    network = make_network(NetworkConfig("rnn", 4, 1, bidirectional=True), len(VOCABULARY))
    both = LanguageModel(network, network.initial(np.random.default_rng(0)), VOCABULARY, TextConfig())
    with pytest.raises(ConfigError, match="only models of one direction"):
        both.activations("abc")
