"""The tagger: equal to the equations of `reference.py` and to two stacks of PyTorch, with numeric gradients."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.tuning import InferenceTuning
from charlm.kernels.workspace import Workspace
from charlm.nn.bidirectional import Tagger
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.layout import Parameters
from charlm.nn.networks import make_network
from charlm.nn.window import Window
from tests.nn import reference
from tests.nn.gradients import assert_close, directional

STEPS, STREAMS, HIDDEN, VOCABULARY, LABELS = 7, 3, 5, 8, 4


class Case:
    """A small network in float64, random windows, labels and weights, and EOS in the middle of a stream."""

    def __init__(self, cell: str, layers: int) -> None:
        rng = self.rng = np.random.default_rng(20 + layers)
        network = make_network(NetworkConfig(cell, HIDDEN, layers, bidirectional=True, outputs=LABELS), VOCABULARY)
        assert isinstance(network, Tagger)
        self.network = network
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size)
        self.inputs = rng.integers(1, VOCABULARY, (STEPS, STREAMS))
        self.inputs[3, 1] = self.network.start
        self.labels = rng.integers(0, LABELS, (STEPS, STREAMS))
        self.weights = rng.random((STEPS, STREAMS))

    def run(self, params: Parameters) -> tuple[float, Parameters]:
        """Return the loss and its gradient."""
        grads = params.empty_like()
        grads.flat += np.nan  # whatever is not written shows
        window = Window(self.inputs, self.labels, self.weights)
        loss, state = self.network.loss_and_grads(params, grads, window, [], Workspace(np.float64))
        assert state == []
        return loss, grads


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    def test_gradients_equal_numeric_ones(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        _, grads = case.run(case.params)
        for name in case.params:
            direction = case.params.empty_like()
            direction[name][...] = case.rng.standard_normal(direction[name].shape)

            def loss(step: float, along: Parameters = direction) -> float:
                return case.run(case.network.parameters(case.params.flat + step * along.flat))[0]

            assert_close(directional(loss), float(grads.flat @ direction.flat), f"{cell}, {name}", 2e-6)

    def test_probabilities_and_loss_equal_the_equations(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        zero = [(np.zeros((STREAMS, HIDDEN)),) * case.network.cell.state_arrays] * layers
        tensors = dict(case.params.items())
        sides = [
            reference.read(cell, tensors, ids, zero, start=0, stack=stack)[0]
            for stack, ids in (("rnn", case.inputs), ("reverse", case.inputs[::-1]))
        ]
        expected = reference.log_softmax(tensors, np.concatenate([sides[0], sides[1][::-1]], axis=2))
        prepared = PreparedBidirectionalNetwork(case.network, case.params)
        found = prepared.predict(case.inputs, case.inputs)
        np.testing.assert_allclose(found, expected.swapaxes(1, 2), rtol=0, atol=1e-11)
        terms = reference.at(expected, case.labels)
        np.testing.assert_allclose(prepared.measure(case.inputs, case.labels)[0], -terms, rtol=0, atol=1e-11)
        assert case.run(case.params)[0] == pytest.approx(-float((terms * case.weights).sum()), rel=1e-12)

    def test_streams_do_not_affect_each_other(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        together = PreparedBidirectionalNetwork(case.network, case.params).predict(case.inputs, case.inputs)
        one_by_one = PreparedBidirectionalNetwork(
            case.network, case.params, InferenceTuning(max_bidirectional_values=1)
        )
        np.testing.assert_allclose(one_by_one.predict(case.inputs, case.inputs), together, rtol=0, atol=1e-12)

    def test_every_label_depends_on_every_character_between_two_eos(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        prepared = PreparedBidirectionalNetwork(case.network, case.params)
        before = prepared.predict(case.inputs, case.inputs)
        changed = case.inputs.copy()
        changed[STEPS - 1, :2] = 1 + changed[STEPS - 1, :2] % (VOCABULARY - 1)
        after = prepared.predict(changed, changed)
        is_other = (after != before).any(axis=1)  # (T, B)
        assert is_other[:, 0].all()
        assert is_other[:, 1].tolist() == [t > 3 for t in range(STEPS)]  # EOS at 3 resets the stack that reads back
        assert not is_other[:, 2].any()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", [name for name in CELLS if find_cell(name).torch_name])
def test_loss_and_gradients_equal_those_of_two_pytorch_stacks(cell: str, layers: int) -> None:
    torch = pytest.importorskip("torch")
    case = Case(cell, layers)
    case.inputs[3, 1] = 2  # PyTorch knows no EOS
    kind = find_cell(cell)
    make = getattr(torch.nn, str(kind.torch_name))
    stacks = {name: make(VOCABULARY, HIDDEN, layers, **kind.torch_options).double() for name in ("rnn", "reverse")}
    for name, stack in stacks.items():
        own = {k.split(".")[1]: torch.from_numpy(v.copy()) for k, v in case.params.items() if k.startswith(f"{name}.")}
        stack.load_state_dict(own, strict=True)
    head = torch.nn.Linear(2 * HIDDEN, LABELS).double()
    own = {key: torch.from_numpy(case.params[f"head.{key}"].copy()) for key in ("weight", "bias")}
    head.load_state_dict(own, strict=True)
    xs = torch.eye(VOCABULARY, dtype=torch.float64)[torch.from_numpy(case.inputs)]
    hs = torch.cat([stacks["rnn"](xs)[0], stacks["reverse"](xs.flip(0))[0].flip(0)], dim=-1)
    losses = torch.nn.functional.cross_entropy(
        head(hs).flatten(0, 1), torch.from_numpy(case.labels).flatten(), reduction="none"
    )
    expected = losses @ torch.from_numpy(case.weights.ravel())
    expected.backward()
    loss, grads = case.run(case.params)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    for name, module in [*stacks.items(), ("head", head)]:
        for key, parameter in module.named_parameters():
            np.testing.assert_allclose(grads[f"{name}.{key}"], parameter.grad, rtol=0, atol=1e-9)
