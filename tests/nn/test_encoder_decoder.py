"""Encoder and decoder: equal to the equations of `reference.py` and to modules of PyTorch, with numeric gradients."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_encoder_decoder import PreparedEncoderDecoder
from charlm.inference.tuning import InferenceTuning
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.encoder_decoder import EncoderDecoder, crop_sources, shift, target_steps
from charlm.nn.layout import Parameters
from charlm.nn.networks import make_network
from charlm.nn.window import Window
from tests.nn import reference
from tests.nn.gradients import assert_close, directional

HIDDEN, VOCABULARY, LABELS = 5, 8, 4
SOURCES, TARGETS, STEPS = (3, 1, 5, 2), (4, 2, 1, 3), 9
"""Lengths of the sources, and of the targets with END; steps of the window."""
STREAMS = len(SOURCES)


class Case:
    """A small network in float64, and a window of random pairs of several lengths."""

    def __init__(self, cell: str, layers: int) -> None:
        rng = self.rng = np.random.default_rng(30 + layers)
        network = make_network(NetworkConfig(cell, HIDDEN, layers, outputs=LABELS, encoder_decoder=True), VOCABULARY)
        assert isinstance(network, EncoderDecoder)
        self.network = network
        self.params = network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size)
        self.sources = [rng.integers(1, VOCABULARY, size) for size in SOURCES]  # reversed
        self.targets = [np.append(rng.integers(1, LABELS, size - 1), 0) for size in TARGETS]
        self.inputs, self.labels = np.zeros((2, STEPS, STREAMS), np.intp)
        self.weights = np.zeros((STEPS, STREAMS))
        for b, (source, target) in enumerate(zip(self.sources, self.targets, strict=True)):
            self.inputs[-len(source) :, b] = source
            self.labels[: len(target), b] = target
            self.weights[: len(target), b] = rng.random(len(target)) + 0.5

    def run(self, params: Parameters, streams: slice = slice(None)) -> tuple[float, Parameters]:
        """Return the loss of some pairs and its gradient."""
        grads = params.empty_like()
        grads.flat += np.nan  # whatever is not written shows
        window = Window(self.inputs[:, streams], self.labels[:, streams], self.weights[:, streams])
        loss, state = self.network.loss_and_grads(params, grads, window, [], Workspace(np.float64))
        assert state == []
        return loss, grads

    def expected(self) -> list[np.ndarray]:
        """Return log p of each label at each step of each target, by the equations."""
        tensors, layers = dict(self.params.items()), self.network.config.layers
        zero = [(np.zeros((1, HIDDEN)),) * self.network.cell.state_arrays] * layers
        found = []
        for source, target in zip(self.sources, self.targets, strict=True):
            ids = np.append(0, source)[:, None]
            es, state = reference.read(self.network.config.cell, tensors, ids, zero, start=0, stack="encoder")
            read = np.append(0, target[:-1])[:, None]
            hs, _ = reference.read(self.network.config.cell, tensors, read, state, start=-1, stack="decoder")
            contexts = []
            for d in hs[:, 0]:
                a = np.exp(es[1:, 0] @ d)  # without EOS
                contexts.append(a @ es[1:, 0] / a.sum())
            found.append(reference.log_softmax(tensors, np.concatenate([hs[:, 0], contexts], axis=1)))
        return found


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

    def test_loss_and_probabilities_equal_the_equations(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        prepared = PreparedEncoderDecoder(case.network, case.params)
        terms = prepared.measure(case.inputs, case.labels)[0]
        encoded = prepared.encode(case.inputs)
        total = 0.0
        for b, (expected, target) in enumerate(zip(case.expected(), case.targets, strict=True)):
            losses = -expected[np.arange(len(target)), target]
            np.testing.assert_allclose(terms[: len(target), b], losses, rtol=0, atol=1e-11)
            total += float(losses @ case.weights[: len(target), b])
            stepper = prepared.stepper(encoded.select(np.array([b]), np.array([b])))
            for t, label in enumerate(np.append(0, target[:-1])):
                logits = stepper.read(np.array([label]))[0]
                np.testing.assert_allclose(logits - np.log(np.exp(logits).sum()), expected[t], rtol=0, atol=1e-11)
        assert case.run(case.params)[0] == pytest.approx(total, rel=1e-12)

    def test_pairs_do_not_affect_each_other(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        loss, grads = case.run(case.params)
        alone = [case.run(case.params, slice(b, b + 1)) for b in range(STREAMS)]
        assert loss == pytest.approx(sum(one for one, _ in alone), rel=1e-12)
        np.testing.assert_allclose(grads.flat, sum(one.flat for _, one in alone), rtol=0, atol=1e-12)
        together = PreparedEncoderDecoder(case.network, case.params).measure(case.inputs, case.labels)
        small = PreparedEncoderDecoder(case.network, case.params, InferenceTuning(max_window_values=1))
        counts = case.weights > 0
        measured = small.measure(case.inputs, case.labels)
        np.testing.assert_allclose(measured[:, counts], together[:, counts], rtol=0, atol=1e-12)


def test_windows_without_pairs_have_no_loss_and_no_gradient() -> None:
    case = Case("lstm", 1)
    case.weights[...] = 0
    loss, grads = case.run(case.params)
    assert loss == 0
    assert not grads.flat.any()
    case.inputs[...] = 0
    assert case.run(case.params)[0] == 0


def test_windows_are_cropped_to_their_pairs() -> None:
    case = Case("gru", 1)
    assert len(crop_sources(case.inputs, 0)) == max(SOURCES) + 1
    assert target_steps(case.weights, STEPS) == max(TARGETS)
    assert target_steps(None, STEPS) == STEPS
    assert shift(case.labels)[:, 0].tolist() == [0, *case.labels[:-1, 0].tolist()]


def test_dropout_changes_the_loss_of_both_stacks() -> None:
    case = Case("lstm", 2)
    for name in ("dropout", "recurrent_dropout"):
        config = NetworkConfig("lstm", HIDDEN, 2, outputs=LABELS, encoder_decoder=True, **{name: 0.5})
        network = make_network(config, VOCABULARY)
        window = Window(case.inputs, case.labels, case.weights)
        losses = [
            network.loss_and_grads(
                case.params, case.params.empty_like(), window, [], Workspace(np.float64), np.random.default_rng(seed)
            )[0]
            for seed in (1, 1, 2)
        ]
        assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", [name for name in CELLS if find_cell(name).torch_name])
def test_loss_and_gradients_equal_those_of_pytorch(cell: str, layers: int) -> None:
    torch = pytest.importorskip("torch")
    case = Case(cell, layers)
    kind = find_cell(cell)
    make = getattr(torch.nn, str(kind.torch_name))
    modules = {
        "encoder": make(VOCABULARY, HIDDEN, layers, **kind.torch_options).double(),
        "decoder": make(LABELS, HIDDEN, layers, **kind.torch_options).double(),
        "head": torch.nn.Linear(2 * HIDDEN, LABELS).double(),
    }
    for name, module in modules.items():
        own = {k.split(".")[1]: torch.from_numpy(v.copy()) for k, v in case.params.items() if k.startswith(f"{name}.")}
        module.load_state_dict(own, strict=True)
    total = torch.zeros((), dtype=torch.float64)
    for b, (source, target) in enumerate(zip(case.sources, case.targets, strict=True)):
        xs = torch.eye(VOCABULARY, dtype=torch.float64)[np.append(0, source)][:, None]
        es, state = modules["encoder"](xs)
        ys = torch.eye(LABELS, dtype=torch.float64)[np.append(0, target[:-1])][:, None]
        hs, _ = modules["decoder"](ys, state)
        contexts = torch.softmax(hs[:, 0] @ es[1:, 0].T, dim=-1) @ es[1:, 0]
        logits = modules["head"](torch.cat([hs[:, 0], contexts], dim=-1))
        losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(target), reduction="none")
        total = total + losses @ torch.from_numpy(case.weights[: len(target), b].copy())
    total.backward()
    loss, grads = case.run(case.params)
    assert loss == pytest.approx(float(total.detach()), rel=1e-12)
    for name, module in modules.items():
        for key, parameter in module.named_parameters():
            np.testing.assert_allclose(grads[f"{name}.{key}"], parameter.grad, rtol=0, atol=1e-9)
