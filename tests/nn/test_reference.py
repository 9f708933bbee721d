"""Compare training and inference of every cell and both networks with the equations of `reference.py`.

All sizes differ, so that a wrong transpose fails; so do the id that resets a stream and 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_network import PreparedNetwork
from charlm.inference.tuning import InferenceTuning
from charlm.kernels.packed_matrix import block_shape
from charlm.kernels.workspace import Workspace
from charlm.nn.base import NetworkState
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.cells import CELLS
from charlm.nn.cells.cell import orthogonal
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.stack import StackCache
from charlm.nn.tuning import NnTuning
from charlm.nn.window import Window
from charlm.scoring.chunked import score_chunked
from charlm.scoring.tuning import ScoringTuning
from tests.nn import reference
from tests.nn.gradients import assert_close, backpropagate, directional, inner

START = 2
DROPOUT, RECURRENT_DROPOUT = 0.4, 0.3
EPSILON = 1e-6


class Shape(NamedTuple):
    """Sizes of a test. Names as in the notation: T, B, H, V. A tied network reads the rows of its head."""

    layers: int
    steps: int
    streams: int
    hidden: int
    vocabulary: int
    tied: bool = False


SHAPES = {
    "one layer": Shape(1, 6, 8, 5, 9),
    "three layers": Shape(3, 6, 8, 5, 9),
    "tied": Shape(1, 6, 8, 5, 9, tied=True),
    "blocks": Shape(2, 7, 33, 128, 30),  # so large that products are cut into blocks, where they are
}


class Case:
    """A float64 network with random weights and states, and a text with resets; the first reset is at step 0."""

    def __init__(self, cell: str, shape: Shape, *, bidirectional: bool = False) -> None:
        layers, steps, streams, hidden, vocabulary, tied = shape
        rng = self.rng = np.random.default_rng(layers)
        config = NetworkConfig(cell, hidden, layers, DROPOUT, RECURRENT_DROPOUT, bidirectional, tied)
        kind = BidirectionalNetwork if bidirectional else Network
        self.cell, self.shape = cell, shape
        self.network = kind(config, vocabulary, START)
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.5 * rng.standard_normal(self.params.flat.size) * np.sqrt(5 / hidden)
        self.tensors = {name: view.copy() for name, view in self.params.items()}
        text = rng.integers(START + 1, vocabulary, (steps + 1, streams))
        text[0, 1] = text[steps // 2, [2, 4]] = text[-3, 4] = START
        text[2] = 0
        self.text, self.inputs, self.targets = text, text[:-1], text[1:]
        self.counts = rng.random(self.inputs.shape) < 0.7
        self.weights = rng.random(self.inputs.shape)
        self.state = [
            tuple(rng.standard_normal((self.network.cell.state_arrays, streams, hidden))) for _ in range(layers)
        ]
        self.pull = [tuple(rng.standard_normal(array.shape) for array in layer) for layer in self.state]

    def __repr__(self) -> str:
        return f"{self.cell}, {self.shape}"


class Expected(NamedTuple):
    """Results of the equations."""

    tops: np.ndarray  # (T, B, H)
    log_probs: np.ndarray  # (T, B, V)
    scores: np.ndarray  # (T, B)
    state: NetworkState


@lru_cache
def expected(cell: str, shape: Shape) -> tuple[Case, Expected]:
    """Return a case with a random state and the results of its equations."""
    case = Case(cell, shape)
    tops, state = reference.read(cell, case.tensors, case.inputs, case.state, start=START, tied=shape.tied)
    log_probs = reference.log_softmax(case.tensors, tops)
    return case, Expected(tops, log_probs, reference.at(log_probs, case.targets), state)


def assert_same_state(found: NetworkState, answers: NetworkState, tolerance: float) -> None:
    """Compare all arrays of all layers of two states."""
    for layer, (some, others) in enumerate(zip(found, answers, strict=True)):
        for name, a, b in zip("hc", some, others, strict=False):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=f"{name} of layer {layer}")


TOLERANCES = {np.float64: 1e-11, np.float32: 2e-4}


@pytest.fixture(params=list(TOLERANCES), ids=["float64", "float32"])
def precision(request: pytest.FixtureRequest) -> tuple[type, float]:
    """Return a floating-point type and its tolerance."""
    return request.param, TOLERANCES[request.param]


def cast(case: Case, dtype: type, columns: slice = slice(None)) -> tuple[PreparedNetwork, NetworkState]:
    """Return the prepared network and the first state of some streams in a floating-point type."""
    prepared = PreparedNetwork(case.network, case.network.parameters(case.params.flat.astype(dtype)))
    return prepared, [tuple(array[columns].astype(dtype) for array in layer) for layer in case.state]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("cell", CELLS)
class TestEveryPath:
    """Forward passes from a random state, with resets, by packed and by plain products."""

    def test_training(self, cell: str, shape: Shape, precision: tuple[type, float]) -> None:
        """Train on one window and on two that pass a state."""
        case, answers = expected(cell, shape)
        dtype, tolerance = precision
        prepared, first = cast(case, dtype)
        for cuts in ([0, shape.steps], [0, 2, shape.steps]):
            state, tops = first, []
            for begin, end in itertools.pairwise(cuts):
                cache = case.network.stack.forward(prepared.params, case.inputs[begin:end], state, Workspace(dtype))
                tops.append(cache.outputs[-1])
                state = cache.state
            np.testing.assert_allclose(np.concatenate(tops), answers.tops, rtol=0, atol=tolerance)
            assert_same_state(state, answers.state, tolerance)
        loss, _ = case.network.loss_and_grads(
            prepared.params, prepared.params.empty_like(),
            Window(case.inputs, case.targets, case.weights.astype(dtype), scale=0.1), first, Workspace(dtype),
        )  # fmt: skip
        assert loss == pytest.approx(-(answers.scores * case.weights).sum(), rel=tolerance)

    @pytest.mark.parametrize("columns", [slice(None), slice(4, 5)], ids=["all streams", "one stream"])
    def test_inference(self, cell: str, shape: Shape, columns: slice, precision: tuple[type, float]) -> None:
        """Read by single steps, by a stepper and by windows, in time chunks of all steps and of two."""
        case, answers = expected(cell, shape)
        dtype, tolerance = precision
        prepared, first = cast(case, dtype, columns)
        inputs, targets = case.inputs[:, columns], case.targets[:, columns]
        log_probs, scores = answers.log_probs[:, columns], answers.scores[:, columns]
        last = [tuple(array[columns] for array in layer) for layer in answers.state]

        state, stepper, other = first, prepared.stepper(first), prepared.stepper(first)
        for t, ids in enumerate(inputs):
            logits, state = prepared.step(ids, state)
            for found in (logits, stepper.read(ids), other.read_one(int(ids[0])) if len(ids) == 1 else logits):
                np.testing.assert_allclose(found - found[:, :1], log_probs[t] - log_probs[t, :, :1], atol=tolerance)
        assert_same_state(state, last, tolerance)
        assert_same_state(stepper.state, last, tolerance)

        stepper = prepared.stepper(first)
        np.testing.assert_allclose(stepper.score(inputs, targets), scores, rtol=0, atol=tolerance)
        assert_same_state(stepper.state, last, tolerance)

        found, state = prepared.predict(inputs, first)
        np.testing.assert_allclose(found, log_probs.swapaxes(1, 2), rtol=0, atol=tolerance)
        assert_same_state(state, last, tolerance)
        widest = max(case.network.cell.gates * shape.hidden, shape.vocabulary) * inputs.shape[1]
        for values in (1 << 21, 2 * widest):
            prepared = PreparedNetwork(case.network, prepared.params, InferenceTuning(max_window_values=values))
            found, state = prepared.score(inputs, targets, first)
            advanced = prepared.advance(inputs, first)
            np.testing.assert_allclose(found, scores, rtol=0, atol=tolerance)
            assert_same_state(state, last, tolerance)
            assert_same_state(advanced, last, tolerance)

    def test_measure(self, cell: str, shape: Shape) -> None:
        """Measure the loss of the targets that count and its derivatives by the logit scale, from a zero state."""
        case, _ = expected(cell, shape)
        zero = [tuple(np.zeros_like(array) for array in layer) for layer in case.state]
        tops, _ = reference.read(cell, case.tensors, case.inputs, zero, start=START, tied=shape.tied)
        found = PreparedNetwork(case.network, case.params).measure(case.inputs, case.targets)
        assert_measured(found[:, case.counts].sum(axis=1), case, tops, case.targets, case.counts)


def assert_measured(found: np.ndarray, case: Case, tops: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> None:
    """Compare the loss and its derivatives with differences of losses at nearby logit scales."""

    def loss(scale: float) -> float:
        tensors = case.tensors | {name: scale * case.tensors[name] for name in ("head.weight", "head.bias")}
        return -float(reference.at(reference.log_softmax(tensors, tops), targets)[counts].sum())

    step = 1e-4
    below, here, above = loss(1 - step), loss(1), loss(1 + step)
    assert found[0] == pytest.approx(here, rel=1e-12)
    assert found[1] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-6)
    assert found[2] == pytest.approx((above - 2 * here + below) / step**2, rel=1e-3)


def test_cases_cover_packed_and_plain_products(kernels: str) -> None:
    """Products are packed with AVX-512 kernels and plain with others."""
    shape = SHAPES["blocks"]
    assert (block_shape(shape.hidden, shape.hidden, shape.streams)[1] < shape.hidden) == (kernels == "SkylakeX")
    assert sorted(reference.CELLS) == sorted(CELLS)


@pytest.mark.parametrize("cell", CELLS)
def test_chunked_scoring_equals_the_reference(cell: str) -> None:
    """Chunks that start with a wrong state and are read again, over resets."""
    tuning = ScoringTuning(
        max_chunks=4, min_chunk_characters=20, max_chunk_characters=30, min_chunked_characters=60, checkpoint_interval=6
    )
    case = Case(cell, SHAPES["three layers"])
    text = np.random.default_rng(0).integers(0, 9, 151)
    text[text == START] = 0
    text[[70, 120]] = START
    first = case.network.select(case.state, slice(0, 1))
    tops, last = reference.read(cell, case.tensors, text[:-1, None], first, start=START)
    answers = reference.at(reference.log_softmax(case.tensors, tops), text[1:, None])[:, 0]
    network = PreparedNetwork(case.network, case.params)
    found, state = score_chunked(network, text[:-1], text[1:], first, threads=2, tuning=tuning)
    np.testing.assert_allclose(found, answers, rtol=0, atol=1e-4)
    assert_same_state(state, last, 1e-4)


class Dropout(NamedTuple):
    """Dropout masks of a training window, with values 0 and 1 / (1 - p)."""

    outputs: list[np.ndarray]  # of each layer, (B, H), for all steps
    weights: dict[str, np.ndarray]  # of the recurrence, (G*H, H)

    def of(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the tensors with their weight masks applied."""
        return {name: array * self.weights.get(name, 1) for name, array in tensors.items()}


def drawn(caches: dict[str, StackCache], layers: int) -> dict[str, Dropout]:
    """Return the dropout masks of each stack, rebuilt from the zeros that were drawn."""
    result = {}
    for stack, cache in caches.items():
        assert len(cache.output_masks) == len(cache.weight_masks) == layers
        outputs = [(mask != 0) / (1 - DROPOUT) for mask in cache.output_masks]
        weights = {
            f"{stack}.weight_hh_l{layer}": (mask != 0) / (1 - RECURRENT_DROPOUT)
            for layer, mask in enumerate(cache.weight_masks)
        }
        for masks, fraction in ((outputs, DROPOUT), (weights.values(), RECURRENT_DROPOUT)):
            assert all(0.5 * fraction < (mask == 0).mean() < 1.5 * fraction for mask in masks)
        result[stack] = Dropout(outputs, weights)
    return result


SEED = 7


@pytest.mark.parametrize("drops", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("size", ["one layer", "three layers", "tied"])
@pytest.mark.parametrize("cell", CELLS)
class TestGradients:
    """Compare training gradients with differences of the equations, with resets, chunks of two steps and dropout."""

    def make_case(self, cell: str, shape: Shape) -> Case:
        """Return a case whose backward pass computes two steps of a window at a time."""
        case = Case(cell, shape)
        case.network.stack.cell.tuning = NnTuning(max_chunk_values=2 * shape.hidden * shape.streams)
        return case

    def losses_by_equations(
        self, case: Case, drops: bool
    ) -> Callable[[dict[str, np.ndarray], NetworkState], np.ndarray]:
        """Return a function from tensors and a first state to losses (B,), with a term of the last state."""
        args = case.params, case.inputs, case.state, Workspace(np.float64)
        cache = case.network.stack.forward(*args, np.random.default_rng(SEED)) if drops else None
        dropout = drawn({"rnn": cache}, case.shape.layers)["rnn"] if cache else Dropout([], {})

        def losses(tensors: dict[str, np.ndarray], state: NetworkState) -> np.ndarray:
            masks = dropout.outputs or None
            tied = case.shape.tied
            tops, last = reference.read(
                case.cell, dropout.of(tensors), case.inputs, state, start=START, masks=masks, tied=tied
            )
            scores = reference.at(reference.log_softmax(tensors, tops), case.targets)
            pulled = [
                (a * b).sum(axis=1) for p, q in zip(last, case.pull, strict=True) for a, b in zip(p, q, strict=True)
            ]
            return -(scores * case.weights).sum(axis=0) + sum(pulled)

        return losses

    def backpropagate(self, case: Case, drops: bool) -> tuple[float, Parameters, NetworkState]:
        """Return the loss with the term of the last state, its gradients, and that of the first state."""
        grads = case.params.empty_like()
        grads.flat[...] = np.nan  # so that a value that is not written shows
        loss, last, dstate = backpropagate(
            case.network, case.params, grads, Window(case.inputs, case.targets, case.weights), case.state, case.pull,
            np.random.default_rng(SEED) if drops else None,
        )  # fmt: skip
        return loss + inner(last, case.pull), grads, dstate

    def test_parameters(self, cell: str, size: str, drops: bool) -> None:
        case = self.make_case(cell, SHAPES[size])
        losses = self.losses_by_equations(case, drops)
        loss, grads, _ = self.backpropagate(case, drops)
        assert loss == pytest.approx(losses(case.tensors, case.state).sum(), rel=1e-12)
        for name, tensor in case.tensors.items():
            direction = case.rng.standard_normal(tensor.shape)

            def along(step: float, name: str = name, direction: np.ndarray = direction) -> float:
                moved = case.tensors | {name: case.tensors[name] + step * direction}
                return float(losses(moved, case.state).sum())

            assert_close(directional(along), float((grads[name] * direction).sum()), f"{case}, {name}", 2e-6)

    def test_first_state(self, cell: str, size: str, drops: bool) -> None:
        """Compare the gradient of every value of every layer."""
        case = self.make_case(cell, SHAPES[size])
        losses = self.losses_by_equations(case, drops)
        _, _, dstate = self.backpropagate(case, drops)
        for layer in range(case.shape.layers):
            for k, name in enumerate("hc"[: case.network.cell.state_arrays]):
                numeric = np.empty_like(case.state[layer][k])
                for unit in range(case.shape.hidden):
                    sides = []
                    for step in (EPSILON, -EPSILON):  # in all streams at once, none of which sees another
                        state = [tuple(array.copy() for array in arrays) for arrays in case.state]
                        state[layer][k][:, unit] += step
                        sides.append(losses(case.tensors, state))
                    numeric[:, unit] = (sides[0] - sides[1]) / (2 * EPSILON)
                what = f"{case}, {name} of layer {layer}"
                np.testing.assert_allclose(dstate[layer][k], numeric, rtol=1e-6, atol=1e-7, err_msg=what)
                assert (np.abs(numeric[2:]) > 1e-6).any(axis=1).all(), f"{what}: a gradient of zero tests nothing"
                assert not dstate[layer][k][1].any(), "a stream that is reset at once depends on no state"


@pytest.mark.parametrize("shape", [SHAPES["one layer"], SHAPES["three layers"]], ids=["one layer", "three layers"])
@pytest.mark.parametrize("cell", CELLS)
class TestBidirectional:
    """The bidirectional network, with resets."""

    def test_inference(self, cell: str, shape: Shape) -> None:
        case = Case(cell, shape, bidirectional=True)
        answers = self.by_equations(case)
        targets = case.targets[:-1]
        for values in (1 << 23, 1):
            tuning = InferenceTuning(max_bidirectional_values=values)
            prepared = PreparedBidirectionalNetwork(case.network, case.params, tuning)
            predicted = prepared.predict(case.inputs, case.targets)
            scores, _ = prepared.score(case.inputs, case.targets, [])
            measured = prepared.measure(case.inputs, case.targets)
            np.testing.assert_allclose(predicted, answers.swapaxes(1, 2), rtol=0, atol=1e-12)
            np.testing.assert_allclose(scores[:-1], reference.at(answers, targets), rtol=0, atol=1e-12)
            np.testing.assert_allclose(measured[0, :-1], -reference.at(answers, targets), rtol=0, atol=1e-12)
            assert not measured[:, -1].any()

    @pytest.mark.parametrize("drops", [False, True], ids=["plain", "dropout"])
    def test_training(self, cell: str, shape: Shape, drops: bool) -> None:
        """Compare loss and gradients."""
        case = Case(cell, shape, bidirectional=True)
        rng = (lambda: np.random.default_rng(SEED)) if drops else (lambda: None)
        dropout = None
        if drops:
            _, runs = case.network.forward(case.params, case.inputs, case.targets, Workspace(np.float64), rng())
            dropout = drawn(dict(zip(("rnn", "reverse"), runs, strict=True)), shape.layers)
        grads = case.params.empty_like()
        grads.flat[...] = np.nan
        loss, _ = case.network.loss_and_grads(
            case.params, grads, Window(case.inputs, case.targets, case.weights), [], Workspace(np.float64), rng()
        )  # fmt: skip

        def loss_along(step: float, directions: dict[str, np.ndarray]) -> float:
            tensors = {name: array + step * directions.get(name, 0) for name, array in case.tensors.items()}
            scores = reference.at(self.by_equations(case, tensors, dropout), case.targets[:-1])
            return -float((scores * case.weights[:-1]).sum())

        assert loss == pytest.approx(loss_along(0, {}), rel=1e-12)
        for stack in ("rnn", "reverse", "head"):
            names = [name for name in case.tensors if name.startswith(stack)]
            directions = {name: case.rng.standard_normal(case.tensors[name].shape) for name in names}
            numeric = directional(lambda step, along=directions: loss_along(step, along))
            analytic = sum(float((grads[name] * direction).sum()) for name, direction in directions.items())
            assert_close(numeric, analytic, f"{case}, {stack}", 2e-6)

    def by_equations(
        self,
        case: Case,
        tensors: dict[str, np.ndarray] | None = None,
        dropout: dict[str, Dropout] | None = None,
    ) -> np.ndarray:
        """Return the log-probabilities of the equations, (T-1, B, V)."""
        tensors = case.tensors if tensors is None else tensors
        for drop in dropout.values() if dropout else ():
            tensors = drop.of(tensors)
        masks = {stack: drop.outputs for stack, drop in dropout.items()} if dropout else None
        arrays = case.network.cell.state_arrays
        return reference.predict_from_both_sides(
            case.cell, tensors, case.text, case.shape.layers, arrays, start=START, masks=masks
        )


def test_initial_recurrent_weights_are_uniformly_distributed() -> None:
    """They equal the Gram-Schmidt basis of a random matrix (Mezzadri 2007) and have mean 0."""
    matrix = np.random.default_rng(0).standard_normal((6, 6))
    columns: list[np.ndarray] = []
    for column in matrix.T:
        for other in columns:
            column = column - other * (other @ column)
        columns.append(column / np.sqrt(column @ column))
    np.testing.assert_allclose(orthogonal(np.random.default_rng(0), 6), np.array(columns).T, rtol=0, atol=1e-12)
    rng = np.random.default_rng(1)
    mean = np.mean([orthogonal(rng, 4) for _ in range(400)], axis=0)  # of values in +-1, whose deviation is 1/2
    assert np.abs(mean).max() < 0.125
