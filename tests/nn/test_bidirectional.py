"""The bidirectional network: parity with two stacks of PyTorch, and no character sees itself. All sizes differ."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepare import prepare_network
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.layout import Parameters
from charlm.nn.networks import make_network
from charlm.nn.window import Window

STEPS, STREAMS, HIDDEN, VOCABULARY = 7, 3, 5, 8


class Case:
    """A small network in float64, random windows of one text, and EOS in the middle of a stream."""

    def __init__(self, cell: str, layers: int) -> None:
        rng = self.rng = np.random.default_rng(10 + layers)
        config = NetworkConfig(cell, HIDDEN, layers, bidirectional=True)
        self.network = BidirectionalNetwork(config, VOCABULARY)
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size)
        self.ids = rng.integers(1, VOCABULARY, (STEPS + 1, STREAMS))
        self.ids[3, 1] = self.network.start
        self.inputs, self.targets = self.ids[:-1], self.ids[1:]
        self.weights = rng.random((STEPS, STREAMS))
        self.weights[-1] = 0

    def run(self, params: Parameters) -> tuple[float, Parameters]:
        """Return the loss and its gradient."""
        grads = params.empty_like()
        grads.flat += np.nan  # whatever is not written shows
        loss, state = self.network.loss_and_grads(
            params, grads, Window(self.inputs, self.targets, self.weights), [], Workspace(np.float64)
        )
        assert state == []
        return loss, grads


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    def test_changed_character_changes_only_the_other_predictions(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        prepared = PreparedBidirectionalNetwork(case.network, case.params)
        before = prepared.predict(case.inputs, case.targets)
        for t in range(1, STEPS):
            changed = case.ids.copy()
            changed[t, 0] = 1 + changed[t, 0] % (VOCABULARY - 1)
            after = prepared.predict(changed[:-1], changed[1:])
            np.testing.assert_array_equal(after[t - 1, :, 0], before[t - 1, :, 0])
            others = [k for k in range(STEPS - 1) if k != t - 1]
            assert (after[others, :, 0] != before[others, :, 0]).any(axis=1).all()
            np.testing.assert_array_equal(after[:, :, 1:], before[:, :, 1:])


def test_make_network_returns_the_network_of_the_configuration() -> None:
    one = make_network(NetworkConfig("rnn", 4), 5)
    both = make_network(NetworkConfig("rnn", 4, bidirectional=True), 5)
    networks = [prepare_network(network, network.initial(np.random.default_rng(0))) for network in (one, both)]
    assert [type(prepared) for prepared in networks] == [PreparedNetwork, PreparedBidirectionalNetwork]
    assert both.layout["head.weight"] == (5, 8)
    assert both.zero_state(3) == []


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", [name for name in CELLS if find_cell(name).torch_name])
def test_loss_and_gradients_equal_those_of_two_pytorch_stacks(cell: str, layers: int) -> None:
    torch = pytest.importorskip("torch")
    case = Case(cell, layers)
    case.ids[3, 1] = 2  # PyTorch knows no EOS
    stacks, tensors = {}, {}
    for name in ("rnn", "reverse"):
        kind = find_cell(cell)
        make = getattr(torch.nn, str(kind.torch_name))
        stacks[name] = make(VOCABULARY, HIDDEN, layers, **kind.torch_options).double()
        own = {k.split(".")[1]: torch.from_numpy(v.copy()) for k, v in case.params.items() if k.startswith(f"{name}.")}
        stacks[name].load_state_dict(own, strict=True)
    for key in ("head.weight", "head.bias"):
        tensors[key] = torch.from_numpy(case.params[key].copy()).requires_grad_()
    one_hot = torch.eye(VOCABULARY, dtype=torch.float64)
    forwards = stacks["rnn"](one_hot[torch.from_numpy(case.inputs[:-1])])[0]
    backwards = stacks["reverse"](one_hot[torch.from_numpy(case.targets[1:].copy())].flip(0))[0].flip(0)
    logits = torch.cat([forwards, backwards], dim=-1) @ tensors["head.weight"].T + tensors["head.bias"]
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(case.targets[:-1]).flatten(), reduction="none"
    )
    expected = losses @ torch.from_numpy(case.weights[:-1].ravel())
    expected.backward()
    loss, grads = case.run(case.params)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    for name, stack in stacks.items():
        for key, parameter in stack.named_parameters():
            np.testing.assert_allclose(grads[f"{name}.{key}"], parameter.grad, rtol=0, atol=1e-9)
    for key, tensor in tensors.items():
        np.testing.assert_allclose(grads[key], tensor.grad, rtol=0, atol=1e-9)
