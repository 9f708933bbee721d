"""Gradients of windows in pieces and of useful sizes, for every cell; single ones are in `test_reference.py`."""

from __future__ import annotations

import warnings
from itertools import chain
from mmap import mmap

import numpy as np
import pytest

from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.inference.tuning import InferenceTuning
from charlm.kernels.packed_matrix import block_shape
from charlm.kernels.tuning import TUNING
from charlm.kernels.workspace import Workspace, aligned
from charlm.nn.base import NetworkState
from charlm.nn.cells import CELLS
from charlm.nn.layers import OneHotProjection
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.tuning import NnTuning
from charlm.nn.window import Window
from tests.nn.gradients import assert_close, backpropagate, directional, inner, random_state

STEPS, STREAMS, HIDDEN, VOCABULARY = 6, 3, 5, 7


class Case:
    """A small network in float64, with random everything, a restart in mid-window, and a pull on its last state."""

    def __init__(
        self,
        cell: str,
        layers: int,
        vocabulary: int = VOCABULARY,
        steps: int = STEPS,
        dropout: float = 0.0,
        hidden: int = HIDDEN,
        streams: int = STREAMS,
    ) -> None:
        rng = self.rng = np.random.default_rng(layers)
        self.network = Network(NetworkConfig(cell, hidden, layers, dropout, dropout), vocabulary)
        self.params = self.network.initial(rng, np.float64)
        self.params.flat += 0.3 * rng.standard_normal(self.params.flat.size) * np.sqrt(HIDDEN / hidden)
        self.inputs = rng.integers(1, vocabulary, (steps, streams))
        self.inputs[steps // 2, 1] = self.network.start
        self.targets = rng.integers(0, vocabulary, (steps, streams))
        self.weights = rng.random((steps, streams))
        self.state = random_state(rng, self.network.zero_state(streams))
        self.pull = random_state(rng, self.state)

    def run(self, params: Parameters, state: NetworkState) -> tuple[float, Parameters, NetworkState]:
        """Return the loss (with the pull on the last state), its gradient, and that of the first state."""
        grads = params.empty_like()
        loss, last, dstate = backpropagate(
            self.network, params, grads, Window(self.inputs, self.targets, self.weights), state, self.pull,
            np.random.default_rng(5),
        )  # fmt: skip
        return loss + inner(last, self.pull), grads, dstate

    def check_parameters(self, what: str) -> None:
        """Compare the gradient of every parameter array with a numeric one, in a random direction."""
        _, grads, _ = self.run(self.params, self.state)
        for name in self.params:
            direction = self.params.empty_like()
            direction[name][...] = self.rng.standard_normal(direction[name].shape)

            def loss(step: float, along: Parameters = direction) -> float:
                return self.run(self.network.parameters(self.params.flat + step * along.flat), self.state)[0]

            assert_close(directional(loss), float(grads.flat @ direction.flat), f"{what}, {name}", 2e-6)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    def test_backward_through_two_windows_equals_a_long_one(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        _, expected, expected_dstate = case.run(case.params, case.state)
        halves = [slice(0, 2), slice(2, None)]
        grads = [case.params.empty_like() for _ in halves]
        states, dlast = [case.state], case.pull
        states.append(case.network.stack.forward(case.params, case.inputs[:2], case.state, Workspace(np.float64)).state)
        for half, grad, state in reversed(list(zip(halves, grads, states, strict=True))):
            _, _, dlast = backpropagate(
                case.network, case.params, grad, Window(case.inputs[half], case.targets[half], case.weights[half]),
                state, dlast,
            )  # fmt: skip
        np.testing.assert_allclose(grads[0].flat + grads[1].flat, expected.flat, rtol=0, atol=1e-12)
        np.testing.assert_allclose(dlast[0][0], expected_dstate[0][0], rtol=0, atol=1e-12)

    def test_a_batch_equals_its_streams_one_by_one(self, cell: str, layers: int) -> None:
        case = Case(cell, layers)
        loss, expected, _ = case.run(case.params, case.state)
        total, summed = 0.0, np.zeros_like(expected.flat)
        for stream in range(STREAMS):
            part = slice(stream, stream + 1)
            one = Case(cell, layers)
            one.inputs, one.targets, one.weights = case.inputs[:, part], case.targets[:, part], case.weights[:, part]
            one.pull = case.network.select(case.pull, part)
            part_loss, grads, _ = one.run(case.params, case.network.select(case.state, part))
            total += part_loss
            summed += grads.flat
        assert total == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(summed, expected.flat, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_a_walk_is_the_steps(self, cell: str, layers: int, dtype: type) -> None:
        """In arrays of its own; the state it began with is left as it was.

        Many streams to the bit. For one, what a layer adds up may be added in another order.
        """
        case = Case(cell, layers)
        params = case.network.parameters(case.params.flat.astype(dtype))
        runner = PreparedNetwork(case.network, params)
        case.inputs[2, 1] = case.network.start
        for streams, apart in ((slice(0, STREAMS), 0), (slice(1, 2), 8 * np.finfo(dtype).eps)):
            state = begun = runner.select([tuple(a.astype(dtype) for a in layer) for layer in case.state], streams)
            before = [[array.copy() for array in layer] for layer in begun]
            stepper = runner.stepper(begun)
            for ids in case.inputs[:, streams]:
                logits, state = runner.step(ids, state)
                np.testing.assert_allclose(stepper.read(ids), logits, rtol=0, atol=apart)
            for one, other in zip(chain(*stepper.state), chain(*state), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=apart)
            for one, other in zip(chain(*begun), chain(*before), strict=True):
                np.testing.assert_array_equal(one, other)
        stepper = runner.stepper(runner.zero_state(3))
        stepper.move_to(before, np.array([0, 0, 0]))
        logits, _ = runner.step(ids.repeat(3), runner.select(begun, np.array([0, 0, 0])))
        np.testing.assert_array_equal(stepper.read(ids.repeat(3)), logits)


@pytest.mark.parametrize(("hidden", "streams"), [(128, 25), (96, 32)])
@pytest.mark.parametrize("cell", [name for name in CELLS if name != "rnn-relu"])
def test_parameters_of_useful_sizes(cell: str, hidden: int, streams: int, kernels: str) -> None:
    """As they are trained: wide and narrow blocks, gradients that are sums of several; or plain products, gates by exp.

    Not the cell with the kinks, which is RNN but for g: of so many units some always lie within a step of theirs.
    """
    case = Case(cell, 2, vocabulary=30, steps=20, hidden=hidden, streams=streams)
    assert (block_shape(hidden, hidden, streams)[1] < hidden) == (kernels == "SkylakeX")
    case.check_parameters(f"{cell} {hidden}")


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_by_large_weights(cell: str) -> None:
    """Weights that all cores multiply by lie in memory as they are stored; the numbers are the same."""
    case = Case(cell, 2)
    ids, state = case.inputs[0, :1], case.network.select(case.state, slice(0, 1))
    expected, expected_state = PreparedNetwork(case.network, case.params).step(ids, state)
    runner = PreparedNetwork(case.network, case.params, InferenceTuning(nn=NnTuning(max_single_core_weights=0)))
    assert runner._stack.layers[1].recurrence.factor.matrix.flags.f_contiguous
    logits, after = runner.step(ids, state)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(after[-1][0], expected_state[-1][0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(runner.stepper(state).read(ids), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_of_outputs_and_of_recurrent_weights(cell: str) -> None:
    """Weights that are zero, as most of rnn-relu are at first, get their gradient too, unless they are dropped."""
    case = Case(cell, 2, dropout=0.4)
    matrix = case.params["rnn.weight_hh_l0"]
    matrix[:, 1:] = 0
    _, grads, _ = case.run(case.params, case.state)
    assert 0.1 < (grads["rnn.weight_hh_l0"] == 0).mean() < 0.6
    case.check_parameters(cell)


@pytest.mark.parametrize("cell", CELLS)
def test_a_large_vocabulary_takes_the_sorted_path_to_the_same_gradient(cell: str) -> None:
    """Ids that a window does not use get no gradient, ids used several times get the sum."""
    case = Case(cell, 1, vocabulary=400)
    case.inputs[0] = case.inputs[1]
    _, grads, _ = case.run(case.params, case.state)
    name = "rnn.weight_ih_l0"
    direction = case.params.empty_like()
    direction[name][...] = case.rng.standard_normal(direction[name].shape)
    numeric = directional(
        lambda step: case.run(case.network.parameters(case.params.flat + step * direction.flat), case.state)[0]
    )
    assert_close(numeric, float(grads.flat @ direction.flat), f"{cell}, {name}")
    unused = np.setdiff1d(np.arange(400), case.inputs)
    assert not grads[name][:, unused].any()


def test_one_hot_product_is_the_gather() -> None:
    """W @ one_hot(ids) + b, scaled, equals the gathered columns, for small and large vocabularies."""
    rng = np.random.default_rng(0)
    for vocabulary in (11, 300):
        weight, bias = rng.standard_normal((8, vocabulary)), rng.standard_normal(8)
        scale = rng.choice([0.5, 1.0], 8)
        ids = rng.integers(0, vocabulary, (4, 3))
        one_hot = np.eye(vocabulary)[ids]  # (T, B, V)
        expected = scale * (one_hot @ weight.T + bias)
        zs = OneHotProjection.prepare(weight, scale * bias, scale, ids).forward(np.empty((2, 4, 3, 4)))
        np.testing.assert_allclose(np.concatenate(list(zs), axis=2), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("vocabulary", [11, 300])
def test_gradient_of_the_gather_is_the_one_hot_product(vocabulary: int) -> None:
    """For ids that do not occur, occur once, and occur often."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (400, 3))
    ids[5, 1] = vocabulary - 1
    dzs, grad = rng.standard_normal((2, *ids.shape, 4)), np.full((8, vocabulary), np.nan)
    projection = OneHotProjection.prepare(np.zeros((8, vocabulary)), np.zeros(8), np.ones((1, 8)), ids)
    projection.backward(dzs, grad, Workspace(np.float64))
    expected = np.concatenate([dz.reshape(-1, 4).T @ np.eye(vocabulary)[ids.ravel()] for dz in dzs])
    np.testing.assert_allclose(grad, expected, rtol=0, atol=1e-12)


def test_the_largest_buffers_are_mapped_by_themselves() -> None:
    """Written and read as any array; the memory belongs to nothing else, and goes back with it."""
    limit = TUNING.min_mapped_bytes // 4
    for size, is_mapped in ((limit - 1, False), (limit, True)):
        array = aligned((size,), np.float32)
        array[...] = 1
        assert array.sum() == size
        base = array
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        assert isinstance(getattr(base, "obj", base), mmap) == is_mapped


def test_large_buffers_begin_at_a_line_of_the_cache() -> None:
    work = Workspace(np.float32)
    for name, columns in (("a", 5000), ("b", 5003), ("c", 7000)):
        for array in (work.array(name, 3, columns), work.scratch(name, columns, 3)):
            assert array.ctypes.data % TUNING.cache_line_bytes == 0
            assert array.flags.c_contiguous
            assert array.size == 3 * columns


@pytest.mark.usefixtures("kernels")
def test_gates_that_are_wide_open_are_nothing_to_warn_of() -> None:
    """Neither in a window nor step by step, whichever way they are computed."""
    case = Case("lstm", 2, hidden=128, streams=25)
    for name, view in case.params.items():
        if "bias" in name and "rnn" in name:
            view += 1000 * np.where(np.arange(view.size) % 2, 1, -1)
    state = case.network.zero_state(25, case.params.flat.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner = PreparedNetwork(case.network, case.params)
        stepper = runner.stepper(state)
        for ids in case.inputs:
            stepper.read(ids)
        runner.score(case.inputs, case.targets, state)
        case.network.stack.forward(case.params, case.inputs, state, Workspace(case.params.flat.dtype))
