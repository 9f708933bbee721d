"""Gradients with respect to earlier states: numeric ones, and gradients that vanish, persist or explode."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.diagnostics.gradient_norms import gradient_norms, is_same_text, state_gradients
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from tests.nn.gradients import assert_close, directional, random_state

STEPS, STREAMS, HIDDEN, VOCABULARY = 5, 3, 6, 7


class Case:
    """A small network in float64, with random parameters, inputs and state."""

    def __init__(self, cell: str, layers: int) -> None:
        rng = self.rng = np.random.default_rng(layers)
        self.network = Network(NetworkConfig(cell, HIDDEN, layers), VOCABULARY)
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size)
        self.inputs = rng.integers(1, VOCABULARY, (STEPS, STREAMS))
        self.targets = rng.integers(0, VOCABULARY, STREAMS)
        self.state = random_state(rng, self.network.zero_state(STREAMS))

    def loss(self, push: np.ndarray, at_step: int, at_layer: int) -> float:
        """Return the summed loss, by the cells' own steps, with h of one step and layer pushed, (B, H)."""
        cell, params = self.network.cell, self.params
        state = [tuple(layer) for layer in self.state]
        prepared = self.network.stack.prepare(params)
        for t, ids in enumerate(self.inputs):
            x = np.eye(VOCABULARY)[ids]
            for layer, weights in enumerate(prepared):
                z = weights.recurrence.scale * (x @ params[f"rnn.weight_ih_l{layer}"].T) + weights.bias
                state[layer] = tuple(array.copy() for array in state[layer])
                advance = cell.advancer(weights.recurrence, state[layer], Workspace(np.float64))
                advance(z.reshape(STREAMS, -1, HIDDEN).swapaxes(0, 1))
                h = state[layer][0]
                if (t, layer) == (at_step, at_layer):
                    h += push
                x = h
        logits = params["head.weight"] @ x.T + params["head.bias"][:, None]
        return float((np.log(np.exp(logits).sum(axis=0)) - logits[self.targets, np.arange(STREAMS)]).sum())


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_all_states_equal_numeric_ones(cell: str, layers: int) -> None:
    case = Case(cell, layers)
    gradients = state_gradients(case.network, case.params, case.inputs, case.targets, case.state)
    k = -1
    for k, dhs in enumerate(gradients):
        for layer, dh in enumerate(dhs):
            direction = case.rng.standard_normal(dh.shape)
            numeric = directional(lambda s, t=STEPS - 1 - k, at=layer, d=direction: case.loss(s * d, t, at))
            assert_close(numeric, float((dh * direction).sum()), f"{cell} x {layers}, layer {layer}, k = {k}", 2e-6)
    assert k == STEPS - 1


def test_norms_are_root_sums_of_squares() -> None:
    case = Case("gru", 2)
    arguments = case.network, case.params, case.inputs, case.targets, case.state
    norms = gradient_norms(*arguments)
    for k, dhs in enumerate(state_gradients(*arguments)):
        for layer, dh in enumerate(dhs):
            np.testing.assert_allclose(norms[layer, k], np.sqrt(np.square(dh).sum(axis=1)), rtol=1e-12)


@pytest.mark.parametrize("cell", ["rnn-relu", "lstm"])
def test_overflowing_gradients_are_not_finite_and_give_no_warning(cell: str) -> None:
    case = Case(cell, 2)
    case.params["head.weight"][...] = 1e200  # the square of its gradient overflows
    case.params["rnn.weight_hh_l1"][...] = 1e250
    norms = gradient_norms(case.network, case.params, case.inputs, case.targets, case.state)
    assert norms.shape == (2, STEPS, STREAMS)
    assert not np.isfinite(norms).all()


@pytest.mark.parametrize("cell", CELLS)
def test_norms_of_a_batch_equal_those_of_single_streams(cell: str) -> None:
    case = Case(cell, 2)
    norms = gradient_norms(case.network, case.params, case.inputs, case.targets, case.state)
    assert norms.shape == (2, STEPS, STREAMS)
    assert norms.max(axis=2).min() > 0  # a stream whose units are all off has none
    part = slice(1, 2)
    alone = gradient_norms(
        case.network, case.params, case.inputs[:, part], case.targets[part], case.network.select(case.state, part)
    )
    np.testing.assert_allclose(alone[:, :, 0], norms[:, :, 1], rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_before_a_reset_is_zero(cell: str) -> None:
    case = Case(cell, 2)
    case.inputs[2, 1] = case.network.start  # k = 2 is the first state after it
    norms = gradient_norms(case.network, case.params, case.inputs, case.targets, case.state)
    same = is_same_text(case.inputs, case.network.start)
    assert same[:, 1].tolist() == [True, True, True, False, False]
    assert same[:, [0, 2]].all()
    assert not norms[:, ~same].any()
    assert norms[:, :, [0, 2]].max(axis=2).min() > 0


def flow(cell: str, *, gain: float = 1.0, forget: float = 0.0) -> np.ndarray:
    """Return the mean norms (K + 1,) of a new network.

    gain: scale of its recurrent weights.  forget: added to the bias of an LSTM's forget gate.
    """
    rng = np.random.default_rng(0)
    network = Network(NetworkConfig(cell, 16, 1), VOCABULARY)
    params = network.initial(rng, np.float64)
    params["rnn.weight_hh_l0"][...] *= gain
    if forget:
        params["rnn.bias_ih_l0"][16:32] += forget
    inputs, targets = rng.integers(1, VOCABULARY, (65, 40)), rng.integers(0, VOCABULARY, 40)
    return gradient_norms(network, params, inputs, targets, network.zero_state(40, np.float64))[0].mean(axis=1)


def test_gradients_of_a_plain_network_vanish() -> None:
    norms = flow("rnn", gain=0.7)
    assert norms[64] < 1e-10 * norms[1]
    assert (np.diff(norms) < 0).all()


def test_gradients_of_an_lstm_persist() -> None:
    """With open forget gates the cell state passes its gradient unchanged; with closed ones it vanishes."""
    persistent = flow("lstm", gain=0.7, forget=5.0)
    assert persistent[64] > 0.3 * persistent[1]
    closed = flow("lstm", gain=0.7, forget=-6.0)
    assert closed[64] < 1e-10 * closed[1]


@pytest.mark.parametrize(("cell", "gain"), [("rnn", 2.0), ("rnn-relu", 2.4)])
def test_gradients_with_large_weights_explode(cell: str, gain: float) -> None:
    norms = flow(cell, gain=gain)
    assert norms[64] > 1000 * norms[1]


def test_gradients_with_identity_weights_persist() -> None:
    norms = flow("rnn-relu", gain=2.0)  # its initial value is half of the identity
    assert norms[64] > 0.3 * norms[1]
