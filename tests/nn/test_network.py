"""The network as a whole: initial values, dropout, dtype, states."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.layout import Parameters, parameter_layout, size_of
from charlm.nn.network import Network
from charlm.nn.window import Window


@pytest.mark.parametrize("cell", CELLS)
def test_initial_recurrent_weights_are_orthogonal(cell: str) -> None:
    params = Network(NetworkConfig(cell, 6, 2), 5).initial(np.random.default_rng(0))
    block = params["rnn.weight_hh_l1"][:6]
    kept = 0.5 if cell == "rnn-relu" else 1.0
    np.testing.assert_allclose(block @ block.T, kept**2 * np.eye(6), atol=1e-5)
    assert params.flat.dtype == np.float32


def test_initial_forget_bias_of_lstm_is_one() -> None:
    params = Network(NetworkConfig("lstm", 3, 1), 5).initial(np.random.default_rng(0))
    np.testing.assert_array_equal(params["rnn.bias_ih_l0"], [0] * 3 + [1] * 3 + [0] * 6)


def test_initial_recurrent_weights_of_relu_cell_are_half_the_identity() -> None:
    """At first the cell adds its inputs and forgets them slowly (Le et al. 2015)."""
    params = Network(NetworkConfig("rnn-relu", 4, 2), 5).initial(np.random.default_rng(0))
    for layer in range(2):
        np.testing.assert_array_equal(params[f"rnn.weight_hh_l{layer}"], np.eye(4) / 2)
    assert not params["rnn.bias_ih_l0"].any()
    assert 0.5 < np.abs(params["rnn.weight_ih_l0"]).max() <= 1
    assert 0 < np.abs(params["rnn.weight_ih_l1"]).max() <= 0.25


def test_parameters_iterate_in_their_order_in_memory() -> None:
    params = Network(NetworkConfig("lstm", 3, 2), 5).initial(np.random.default_rng(0))
    in_order = np.concatenate([params[name].ravel() for name in params])
    np.testing.assert_array_equal(in_order, params.flat)


@pytest.mark.parametrize("layers", [1, 3])
def test_initial_loss_of_relu_cell_is_near_that_of_a_uniform_model(layers: int) -> None:
    """Also after thousands of characters of one carried state."""
    network = Network(NetworkConfig("rnn-relu", 48, layers), 30)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(1, 30, (2, 2000, 2))
    log_probs, _ = PreparedNetwork(network, network.initial(rng)).score(inputs, targets, network.zero_state(2))
    assert -log_probs[-500:].mean() < np.log(30) + 0.3


def test_relu_cell_with_exploding_states_stays_finite() -> None:
    network = Network(NetworkConfig("rnn-relu", 4, 2), 5)
    params = network.initial(np.random.default_rng(0))
    params.flat[...] = 1e20
    log_probs, state = PreparedNetwork(network, params).predict(np.full((50, 2), 3), network.zero_state(2))
    assert np.isfinite(log_probs).all()
    assert all(array.max() == 1e6 for layer in state for array in layer)
    grads = params.empty_like()
    inputs = np.full((4, 2), 3)
    network.loss_and_grads(params, grads, Window(inputs, inputs), network.zero_state(2), Workspace())
    assert not grads["rnn.weight_hh_l1"].any()


def test_size_of_layout_equals_the_count_by_hand() -> None:
    layout = parameter_layout(NetworkConfig("gru", 5, 2), 7)
    assert size_of(layout) == 15 * 7 + 15 * 5 + 30 + 15 * 5 + 15 * 5 + 30 + 7 * 5 + 7
    with pytest.raises(ValueError, match="the layout has 432 parameters"):
        Parameters(layout, np.zeros(500))


def test_unknown_cell_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of lstm, gru, rnn"):
        find_cell("transformer")


def test_select_reorders_streams() -> None:
    state = [(np.arange(6.0).reshape(3, 2),)]
    np.testing.assert_array_equal(Network.select(state, np.array([2, 0]))[0][0], [[4, 5], [0, 1]])


def test_workspace_with_same_shape_reuses_the_array() -> None:
    work = Workspace()
    assert work.array("a", 2, 3) is work.array("a", 2, 3)
    assert work.scope("r").array("a", 2) is not work.array("a", 2, 3)
    assert work.array("a", 4).shape == (4,)


def test_scratch_is_shared_between_scopes_and_grows() -> None:
    work = Workspace()
    small = work.scope("a").scratch("s", 2, 3)
    assert np.shares_memory(small, work.scope("b").scratch("s", 6))
    assert work.scratch("s", 4, 4).shape == (4, 4)
