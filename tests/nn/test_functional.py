"""Softmax, cross-entropy, the head, and the products that they and the cells use."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.kernels.blas import kernels
from charlm.kernels.matmul import rows_at_once, write_gradient
from charlm.kernels.packed_matrix import PackedMatrix, block_shape
from charlm.kernels.workspace import Workspace
from charlm.nn.cells import find_cell
from charlm.nn.cells.cell import Recurrence, gate_activation
from charlm.nn.cells.lstm import LSTM
from charlm.nn.functional import cross_entropy, gather_log_probs, log_softmax, loss_and_derivatives, softmax
from charlm.nn.layers import dropout_mask, head_loss_and_grads
from charlm.nn.layout import Parameters
from charlm.nn.tuning import NnTuning
from charlm.nn.window import Window


def test_log_softmax_of_large_logits_sums_to_one() -> None:
    logits = np.array([[1000.0, -1000.0], [0.0, -1000.0]])
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1.0, 79.0, 81.0, 90.0, 110.0, 200.0, 1e4])
def test_losses_of_rows_far_apart_are_exact(spread: float, dtype: type) -> None:
    """The maxima of the rows differ by more and by less than the range of the exponential."""
    logits = np.array([[1.0, 0.5, 0.0], [1.0, 0.5, 0.0]], dtype)
    logits[1] -= spread - 1
    targets = np.array([2, 2])
    expected = float(np.log(1 + np.exp(0.5) + np.exp(1.0)))
    np.testing.assert_allclose(gather_log_probs(logits.copy(), targets), [-expected, -expected], rtol=1e-3)
    loss, _ = cross_entropy(logits.copy(), targets, None, 1.0)
    assert loss == pytest.approx(2 * expected, rel=1e-3)


def test_softmax_of_logits_far_below_zero_does_not_underflow() -> None:
    assert softmax([-1e6, -1e6 + np.log(3)]) == pytest.approx([0.25, 0.75])
    assert softmax([-np.inf, -1e6]) == [0, 1]
    assert softmax([]) == []


def test_losses_of_no_rows_are_zero() -> None:
    assert cross_entropy(np.zeros((0, 3)), np.zeros(0, int), None, 1.0)[0] == 0
    assert gather_log_probs(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)


def test_cross_entropy_of_uniform_logits_is_log_v() -> None:
    loss, grad = cross_entropy(np.zeros((3, 4)), np.array([0, 1, 3]), None, 0.5)
    assert loss == pytest.approx(3 * np.log(4))
    np.testing.assert_allclose(grad[0], [0.5 * (0.25 - 1), 0.125, 0.125, 0.125])


def test_derivatives_by_the_logit_scale_equal_differences() -> None:
    rng = np.random.default_rng(0)
    logits, targets = 3 * rng.standard_normal((40, 6)), rng.integers(0, 6, 40)

    def loss(factor: float) -> float:
        return float(loss_and_derivatives(factor * logits, targets)[0].sum())

    found = loss_and_derivatives(logits.copy(), targets).sum(axis=1)
    assert found[0] == pytest.approx(cross_entropy(logits.copy(), targets, None, 1.0)[0])
    step = 1e-4
    assert found[1] == pytest.approx((loss(1 + step) - loss(1 - step)) / (2 * step), rel=1e-6)
    assert found[2] == pytest.approx((loss(1 + step) - 2 * found[0] + loss(1 - step)) / step**2, rel=1e-4)


def test_cross_entropy_with_weights_sums_weighted_rows() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((4, 5)), np.array([1, 2, 0, 4])
    weights = np.array([1.0, 0.0, 2.0, 0.5])
    loss, grad = cross_entropy(logits.copy(), targets, weights, 1.0)
    each = [cross_entropy(logits[[k]].copy(), targets[[k]], None, 1.0) for k in range(4)]
    assert loss == pytest.approx(sum(w * part for w, (part, _) in zip(weights, each, strict=True)))
    np.testing.assert_allclose(grad, np.vstack([g for _, g in each]) * weights[:, None])


@pytest.mark.parametrize(("vocabulary", "hidden", "n"), [(3000, 4, 600), (67, 128, 2600), (80, 64, 250), (5, 4, 3)])
def test_head_in_several_runs_equals_one_product(vocabulary: int, hidden: int, n: int) -> None:
    """Plain and small products, one run and several, full runs and a remainder."""
    rng = np.random.default_rng(0)
    layout = {"head.weight": (vocabulary, hidden), "head.bias": (vocabulary,)}
    params = Parameters(layout, rng.standard_normal(vocabulary * (hidden + 1)))
    grads = params.empty_like()
    hs, targets = rng.standard_normal((n, hidden)), rng.integers(0, vocabulary, (1, n))
    counted = rng.random(targets.shape)
    dhs = np.empty_like(hs)
    loss = head_loss_and_grads(params, grads, Window(targets, targets, counted, 0.1), hs, dhs, Workspace(np.float64))
    weight, bias = params["head.weight"], params["head.bias"]
    expected, dlogits = cross_entropy(hs @ weight.T + bias, targets.ravel(), counted.ravel(), 0.1)
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(dhs, dlogits @ weight, atol=1e-12)
    np.testing.assert_allclose(grads["head.weight"], dlogits.T @ hs, atol=1e-12)
    np.testing.assert_allclose(grads["head.bias"], dlogits.sum(axis=0), atol=1e-12)


def test_dropout_mask_has_mean_one() -> None:
    mask = dropout_mask(np.random.default_rng(0), 0.25, np.empty((200, 300), np.float32))
    assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.75)}
    assert mask.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("shape", [(5, 12), (300, 128), (128, 512), (512, 128), (2048, 512), (96, 130)])
@pytest.mark.parametrize("rows", [1, 2, 8, 16, 25, 32, 64, 250])
@pytest.mark.usefixtures("kernels")
def test_packed_matrix_of_a_step_equals_the_plain_product(rows: int, shape: tuple[int, int]) -> None:
    """For each layout: plain, in blocks, or in parts whose products are summed."""
    rng = np.random.default_rng(rows)
    matrix, xs = rng.standard_normal(shape), rng.standard_normal((rows, shape[0]))
    expected = xs @ matrix
    for work in (None, Workspace(np.float64)):
        factor = PackedMatrix(matrix.T.copy().T if work else matrix, work)
        out = np.full(expected.shape, np.nan)
        factor.into(out)(xs)
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


GATES = [1, 2, 4]
SIZES = [(5, 12), (64, 64), (128, 128), (96, 32), (512, 128), (1024, 64)]
"""K and H of a gate's matrix: no blocks, one block, several blocks, narrow blocks, and parts."""


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rows", [1, 16, 25, 64, 250])
@pytest.mark.usefixtures("kernels")
def test_packed_matrix_of_gates_equals_the_plain_products(rows: int, size: tuple[int, int], gates: int) -> None:
    """For a step and a window: separate gates in the forward pass, their sum in the backward pass."""
    rng = np.random.default_rng(rows)
    inner, columns = size
    matrices = rng.standard_normal((gates, inner, columns))
    side_by_side, stacked = np.concatenate(list(matrices), axis=1), matrices.reshape(-1, columns)
    xs, xs_by_gate = rng.standard_normal((3, rows, inner)), rng.standard_normal((gates, 3, rows, inner))
    by_gate = np.einsum("tbk,gkh->gtbh", xs, matrices)
    total = np.einsum("gtbk,gkh->tbh", xs_by_gate, matrices)
    for work in (None, Workspace(np.float64)):
        factor = PackedMatrix(side_by_side.T.copy().T if work else side_by_side, work)
        out = np.full((gates, rows, columns), np.nan)
        factor.into(out)(xs[1])
        np.testing.assert_allclose(out, by_gate[:, 1], rtol=1e-10, atol=1e-10)
        outs = np.full((gates, 3, rows, columns), np.nan)
        factor.into(outs)(xs)
        np.testing.assert_allclose(outs, by_gate, rtol=1e-10, atol=1e-10)
        factor = PackedMatrix(stacked, work)
        out = np.full((rows, columns), np.nan)
        factor.sum_into(out, gates)(xs_by_gate[:, 1])
        np.testing.assert_allclose(out, total[1], rtol=1e-10, atol=1e-10)
        outs = np.full((3, rows, columns), np.nan)
        assert factor.fill_sum(outs, xs_by_gate) is outs
        np.testing.assert_allclose(outs, total, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("size", [(12, 5), (64, 64), (96, 128), (128, 100), (1024, 1024)])
@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.usefixtures("kernels")
def test_write_gradient_equals_the_plain_product(steps: int, size: tuple[int, int], gates: int) -> None:
    """For each way of summing: at once, in blocks, or in blocks of several partial sums."""
    rng = np.random.default_rng(steps)
    hidden, inputs = size
    dzs, xs = rng.standard_normal((gates, steps, 25, hidden)), rng.standard_normal((steps, 25, inputs))
    grad = np.full((gates * hidden, inputs), np.nan)
    write_gradient(dzs, xs, grad, Workspace(np.float64))
    expected = np.einsum("gnh,nk->ghk", dzs.reshape(gates, -1, hidden), xs.reshape(-1, inputs), optimize=True)
    np.testing.assert_allclose(grad, expected.reshape(grad.shape), rtol=1e-10, atol=1e-10)


def test_packed_matrix_in_column_order_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For many rows, if the BLAS packs small products; one row needs no copy."""
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"Haswell"}))
    rng = np.random.default_rng(0)
    matrix, xs, out = rng.standard_normal((512, 128)).T, rng.standard_normal((40, 128)), np.empty((40, 512))
    factor = PackedMatrix(matrix)
    row = np.empty((1, 512))
    factor.into(row)(xs[:1])
    np.testing.assert_allclose(row, xs[:1] @ matrix, rtol=1e-12, atol=1e-12)
    assert not factor._packed
    factor.into(out)(xs)
    np.testing.assert_allclose(out, xs @ matrix, rtol=1e-12, atol=1e-12)
    (laid_out,) = factor._packed.values()
    assert laid_out.flags.c_contiguous


@pytest.mark.usefixtures("in_place")
def test_block_shape_stays_below_the_limit_of_small_products() -> None:
    for inner, columns, rows in ((128, 512, 25), (512, 128, 25), (2048, 512, 16), (2048, 512, 32), (512, 2048, 64)):
        parts, width = block_shape(inner, columns, rows)
        assert width < columns
        assert rows * width * inner // parts <= 1_000_000
    assert block_shape(100, 50, 25) == (1, 50)  # no multiple of a block: the plain product
    assert block_shape(512, 2048, 256) == (1, 2048)


@pytest.mark.parametrize("names", [{"Haswell"}, {"Zen"}, {"SkylakeX", "Haswell"}, {"None"}, set()])
def test_block_shape_without_avx512_kernels_is_the_plain_product(
    names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset(names))
    assert block_shape(128, 512, 25) == (1, 512)
    assert rows_at_once(128 * 64) == 0
    monkeypatch.setattr("charlm.kernels.blas.kernels", lambda: frozenset({"SkylakeX"}))
    assert block_shape(128, 512, 25) == (1, 64)
    assert rows_at_once(128 * 64) == 122


def test_kernels_in_use_have_names() -> None:
    if not kernels():
        pytest.skip("no BLAS that threadpoolctl knows")
    assert all(isinstance(name, str) and name for name in kernels())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("streams", [1, 32, 100])
def test_gate_activation_equals_the_equations(streams: int) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, streams, 128)) * np.array([1.0, 10.0, 1.0, 1000.0])[:, None, None]
    halved = np.array([True, True, False, True])[:, None, None]
    scale = LSTM().scale(128, np.float64)
    matrix = np.zeros((512, 128))
    weights = Recurrence(matrix, PackedMatrix(matrix.T), np.zeros((1, 512)), scale)
    expected = np.where(halved, 0.5 + 0.5 * np.tanh(z / 2), np.tanh(z))
    given = np.where(halved, 0.5, 1.0) * z
    gate_activation(weights.gate_scale(streams))(given)
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("min_values", "shape"), [(96, (4, 1, 1)), (97, (4, 3, 32))])
def test_gate_scale_is_repeated_for_small_steps(min_values: int, shape: tuple[int, ...]) -> None:
    matrix, scale = np.zeros((128, 32)), LSTM().scale(32, np.float64)
    weights = Recurrence(matrix, PackedMatrix(matrix.T), np.zeros((1, 128)), scale)
    gate_scale = weights.gate_scale(3, NnTuning(min_broadcast_values=min_values))
    assert gate_scale.shape == shape
    np.testing.assert_array_equal(np.broadcast_to(gate_scale, (4, 3, 32))[:, 2, 31], [0.5, 0.5, 1.0, 0.5])


@pytest.mark.parametrize("name", ["lstm", "gru", "gru-simple"])
def test_advancer_computes_gates_in_one_array(name: str) -> None:
    """The product with the state and the gate values that replace it."""
    cell, work, rng = find_cell(name), Workspace(np.float64), np.random.default_rng(0)
    matrix = rng.standard_normal((cell.gates * 8, 8))
    packed = PackedMatrix(np.ascontiguousarray(matrix.T))
    weights = Recurrence(matrix, packed, np.zeros((1, len(matrix))), cell.scale(8, np.float64))
    state = tuple(np.zeros((cell.state_arrays, 3, 8)))
    cell.advancer(weights, state, work)(rng.standard_normal((cell.gates, 3, 8)))
    assert sum(array.shape == (cell.gates, 3, 8) for array in vars(work)["_arrays"].values()) == 1
