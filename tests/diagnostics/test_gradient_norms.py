"""Gradients with respect to the states before a loss: against numeric ones, and how they vanish, last and explode."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.diagnostics.gradient_norms import gradient_norms, reached, walk_back
from charlm.nn.cells import CELLS
from charlm.nn.network import Network
from tests.nn.gradients import assert_close, directional, random_state

STEPS, STREAMS, HIDDEN, VOCABULARY = 5, 3, 6, 7


class Case:
    """A small network in float64, with random everything."""

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
                cell.advancer(weights.recurrence, state[layer])(z.reshape(STREAMS, -1, HIDDEN).swapaxes(0, 1))
                h = state[layer][0]
                if (t, layer) == (at_step, at_layer):
                    h += push
                x = h
        logits = params["head.weight"] @ x.T + params["head.bias"][:, None]
        return float((np.log(np.exp(logits).sum(axis=0)) - logits[self.targets, np.arange(STREAMS)]).sum())


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_every_state_on_the_way_back(cell: str, layers: int) -> None:
    case = Case(cell, layers)
    walk = walk_back(case.network, case.params, case.inputs, case.targets, case.state)
    k = -1
    for k, dhs in enumerate(walk):
        for layer, dh in enumerate(dhs):
            direction = case.rng.standard_normal(dh.shape)
            numeric = directional(lambda s, t=STEPS - 1 - k, at=layer, d=direction: case.loss(s * d, t, at))
            assert_close(numeric, float((dh * direction).sum()), f"{cell} x {layers}, layer {layer}, k = {k}", 2e-6)
    assert k == STEPS - 1


@pytest.mark.parametrize("cell", CELLS)
def test_norms_are_those_of_each_stream_by_itself(cell: str) -> None:
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
def test_nothing_goes_back_over_a_restart(cell: str) -> None:
    case = Case(cell, 2)
    case.inputs[2, 1] = case.network.start  # k = 2 is the first state behind it
    norms = gradient_norms(case.network, case.params, case.inputs, case.targets, case.state)
    same = reached(case.inputs, case.network.start)
    assert same[:, 1].tolist() == [True, True, True, False, False]
    assert same[:, [0, 2]].all()
    assert not norms[:, ~same].any()
    assert norms[:, :, [0, 2]].max(axis=2).min() > 0


def flow(cell: str, *, gain: float = 1.0, forget: float = 0.0) -> np.ndarray:
    """Return the mean norms (K + 1,) of a new network, its recurrent weights times `gain`.

    forget: what is added to the bias of an LSTM's forget gate.
    """
    rng = np.random.default_rng(0)
    network = Network(NetworkConfig(cell, 16, 1), VOCABULARY)
    params = network.initial(rng, np.float64)
    params["rnn.weight_hh_l0"][...] *= gain
    if forget:
        params["rnn.bias_ih_l0"][16:32] += forget
    inputs, targets = rng.integers(1, VOCABULARY, (65, 40)), rng.integers(0, VOCABULARY, 40)
    return gradient_norms(network, params, inputs, targets, network.zero_state(40, np.float64))[0].mean(axis=1)


def test_those_of_a_plain_network_vanish() -> None:
    norms = flow("rnn", gain=0.7)
    assert norms[64] < 1e-10 * norms[1]
    assert (np.diff(norms) < 0).all()


def test_those_of_an_lstm_last() -> None:
    """With forget gates that stay open the cell passes a gradient on as it is: the gate alone decides."""
    lasting = flow("lstm", gain=0.7, forget=5.0)
    assert lasting[64] > 0.3 * lasting[1]
    closed = flow("lstm", gain=0.7, forget=-6.0)
    assert closed[64] < 1e-10 * closed[1]


@pytest.mark.parametrize(("cell", "gain"), [("rnn", 2.0), ("rnn-relu", 2.4)])
def test_those_of_a_bad_start_explode(cell: str, gain: float) -> None:
    norms = flow(cell, gain=gain)
    assert norms[64] > 1000 * norms[1]


def test_the_identity_start_keeps_them() -> None:
    norms = flow("rnn-relu", gain=2.0)  # it starts as half of it
    assert norms[64] > 0.3 * norms[1]
