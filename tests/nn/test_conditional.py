"""A network that reads labels: numeric gradients, the equations of `reference.py`, PyTorch, the model of one label."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.arrays import join_ids, split_ids, tokens_of
from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.networks import condition, make_network
from charlm.nn.window import Window
from tests.nn import reference
from tests.nn.gradients import assert_close, directional, random_state

STEPS, STREAMS, HIDDEN, VOCABULARY, LABELS = 7, 3, 5, 8, 4


class Case:
    """A small network in float64 and a random window: labels change at an EOS in the middle of a stream."""

    def __init__(self, cell: str, layers: int, *, start: int = 0) -> None:
        rng = self.rng = np.random.default_rng(30 + layers)
        self.network = Network(NetworkConfig(cell, HIDDEN, layers, conditions=LABELS), VOCABULARY, start)
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size)
        self.tokens, self.targets = rng.integers(1, VOCABULARY, (2, STEPS, STREAMS))
        self.labels = np.tile([2, 0, 2], (STEPS, 1))
        self.tokens[3, 1], self.labels[3:, 1] = 0, 3
        self.weights = rng.random((STEPS, STREAMS))
        self.state = random_state(rng, self.network.zero_state(STREAMS))

    @property
    def inputs(self) -> np.ndarray:
        return join_ids(self.tokens, self.labels, LABELS)

    def run(self, params: Parameters) -> tuple[float, Parameters]:
        """Return the loss and its gradient."""
        grads = params.empty_like()
        grads.flat += np.nan  # whatever is not written shows
        window = Window(self.inputs, self.targets, self.weights)
        loss, _ = self.network.loss_and_grads(params, grads, window, self.state, Workspace(np.float64))
        return loss, grads

    def log_probs(self) -> np.ndarray:
        """Return log p of each target by the equations, (T, B)."""
        tensors = dict(self.params.items())
        also = VOCABULARY + self.labels
        tops, _ = reference.read(self.network.config.cell, tensors, self.tokens, self.state, start=0, also=also)
        return reference.at(reference.log_softmax(tensors, tops), self.targets)


def test_ids_of_tokens_with_labels_split_again() -> None:
    tokens, labels = np.array([0, 0, 5]), np.array([0, 3, 2])
    ids = join_ids(tokens, labels, 4)
    assert len(set(ids.tolist())) == 3
    np.testing.assert_array_equal(split_ids(ids, 4), [tokens, labels])
    np.testing.assert_array_equal(tokens_of(ids, 4), tokens)
    assert tokens_of(tokens, 0) is tokens


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    def test_gradients_equal_numeric_ones(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        _, grads = case.run(case.params)
        for name in case.params:
            parts = {"tokens": slice(0, VOCABULARY), "labels": slice(VOCABULARY, None)}
            for part, columns in parts.items() if name == "rnn.weight_ih_l0" else [("all", slice(None))]:
                direction = case.params.empty_like()
                view = direction[name][..., columns]
                view[...] = case.rng.standard_normal(view.shape)

                def loss(step: float, along: Parameters = direction) -> float:
                    return case.run(case.network.parameters(case.params.flat + step * along.flat))[0]

                numeric, analytic = directional(loss), float(grads.flat @ direction.flat)
                assert_close(numeric, analytic, f"{cell}, {name}, {part}", 2e-6)
        unread = grads["rnn.weight_ih_l0"][:, VOCABULARY + 1]  # no stream has label 1
        assert not unread.any()

    def test_loss_of_training_and_inference_equals_the_equations(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        expected = case.log_probs()
        assert case.run(case.params)[0] == pytest.approx(-float((expected * case.weights).sum()), rel=1e-12)
        prepared = PreparedNetwork(case.network, case.params)
        found, _ = prepared.score(case.inputs, case.targets, case.state)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)

    def test_network_of_one_label_equals_the_equations(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        case.labels[...] = 3
        network = make_network(NetworkConfig(cell, HIDDEN, layers), VOCABULARY)
        assert isinstance(network, Network)
        prepared = PreparedNetwork(network, condition(case.params, network, 3))
        found, _ = prepared.score(case.tokens, case.targets, case.state)
        np.testing.assert_allclose(found, case.log_probs(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("cell", [name for name in CELLS if find_cell(name).torch_name])
def test_pytorch_loads_the_weights_and_reads_both_one_hot_vectors(cell: str) -> None:
    torch = pytest.importorskip("torch")
    case = Case(cell, 2, start=-1)
    kind = find_cell(cell)
    rnn = getattr(torch.nn, kind.torch_name)(VOCABULARY + LABELS, HIDDEN, 2, **kind.torch_options)
    head = torch.nn.Linear(HIDDEN, VOCABULARY)
    for module, prefix in ((rnn.double(), "rnn."), (head.double(), "head.")):
        own = {n.removeprefix(prefix): torch.from_numpy(v) for n, v in case.params.items() if n.startswith(prefix)}
        module.load_state_dict(own, strict=True)
    ids = [torch.from_numpy(case.tokens), torch.from_numpy(case.labels)]
    one_hot = [torch.nn.functional.one_hot(i, n) for i, n in zip(ids, (VOCABULARY, LABELS), strict=True)]
    h = [torch.from_numpy(np.stack(arrays)) for arrays in zip(*case.state, strict=True)]
    outputs, _ = rnn(torch.cat(one_hot, dim=-1).double(), tuple(h) if len(h) > 1 else h[0])
    log_probs = torch.log_softmax(head(outputs), dim=-1).gather(2, torch.from_numpy(case.targets)[..., None])[..., 0]
    loss, grads = case.run(case.params)
    expected = -(log_probs * torch.from_numpy(case.weights)).sum()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    expected.backward()
    for name, parameter in rnn.named_parameters():
        np.testing.assert_allclose(grads[f"rnn.{name}"], parameter.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("other", ["tied", "bidirectional"])
def test_network_that_reads_labels_is_neither_tied_nor_bidirectional(other: str) -> None:
    with pytest.raises(ConfigError, match="or that reads labels, cannot be `bidirectional` or `tied`"):
        NetworkConfig(conditions=2, **{other: True})  # type: ignore[arg-type]
