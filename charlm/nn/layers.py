"""The layers around the cells: one-hot input projection, dense projection, dropout, softmax head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.kernels.matmul import multiply_rows, rows_at_once, write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, sum_rows
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import Parameters

LOGITS_AT_ONCE = 1 << 17
"""Logits that the head keeps at a time, so that they stay in a core's cache."""
FEWEST_AT_ONCE = 256
"""Rows that the head takes at a time at least: each time the gradient of all its weights is added up."""
ROWS_AT_ONCE = 128
"""Rows of one id that are added up at a time, so that they stay in a core's cache."""
SMALL_VOCABULARY = 256
"""Up to here a whole table is prepared for each window; beyond, only the columns that the window needs."""


class OneHotProjection(NamedTuple):
    """W_ih @ one_hot(ids) + b as a gather of columns; the one-hot matrix is not made.

    table: W_ih + b, scaled and transposed: a row for each id, (V, G*H); in a large vocabulary for each id in use.
    places: ids as rows of the table, (T, B).  used: the ids that the rows stand for, (U,); None for all.
    """

    table: Array
    places: Ids
    used: Ids | None

    @classmethod
    def prepare(cls, weight: Array, bias: Array, scale: Array, ids: Ids) -> OneHotProjection:
        """Prepare for the ids (T, B) of a window.  weight: W_ih (G*H, V).  bias: (G*H,).  scale: (1, G*H)."""
        if weight.shape[1] <= SMALL_VOCABULARY:
            return cls(gathered(weight, bias, scale), ids, None)
        used, places = np.unique(ids, return_inverse=True)
        return cls(gathered(weight[:, used], bias, scale), places.reshape(ids.shape), used)

    def forward(self, zs: Array) -> Array:
        """Fill and return zs (G, T, B, H)."""
        gates, hidden = len(zs), zs.shape[3]
        table = self.table.reshape(-1, hidden)
        for gate, z in enumerate(zs):
            np.take(table, self.places * gates + gate, axis=0, out=z, mode="clip")
        return zs

    def backward(self, dzs: Array, grad: Array, work: Workspace) -> None:
        """Write d loss / d W_ih into `grad` (G*H, V).  dzs: (G, T, B, H), its steps and streams as `places`.

        The product dz^T @ one_hot(ids) is a sum over the rows of each id, and many times faster as that.
        """
        gates, hidden = len(dzs), dzs.shape[3]
        places, ids = self.places.ravel(), len(self.table)
        order = np.argsort(places.astype(np.min_scalar_type(ids)), kind="stable")  # of short integers by their digits
        ends = np.cumsum(np.bincount(places, minlength=ids)).tolist()
        dzs = dzs.reshape(-1, hidden)
        each = order[:, None] + places.size * np.arange(gates)  # rows of dzs, (T*B, G)
        sums = work.scratch("sums", ids, gates * hidden)
        for total, first, last in zip(sums, [0, *ends], ends, strict=False):
            for start in range(first, last, ROWS_AT_ONCE):
                of_id = each[start : min(start + ROWS_AT_ONCE, last)]
                rows = work.scratch("rows", len(of_id), gates * hidden)
                np.take(dzs, of_id, axis=0, out=rows.reshape(-1, gates, hidden), mode="clip")
                if start == first:
                    np.add.reduce(rows, axis=0, out=total)
                else:
                    total += np.add.reduce(rows, axis=0)
            if first == last:
                total.fill(0)
        if self.used is None:
            grad[...] = sums.T
        else:
            grad.fill(0)
            grad[:, self.used] = sums.T


def gathered(weight: Array, bias: Array, scale: Array) -> Array:
    """Return (weight + bias) * scale, transposed: the rows that a gather takes."""
    return np.multiply(weight.T + bias, scale, order="C")


def dense(factor: PackedMatrix, bias: Array, xs: Array, zs: Array) -> Array:
    """Fill zs (G, T, B, H) with xs @ factor + bias, for the whole window at once.

    factor: W_ih^T, (F, G*H).  bias: (1, G*H).  xs: (T, B, F).
    """
    factor.fill(zs, xs)
    zs += bias.reshape(len(zs), 1, 1, -1)
    return zs


def dropout_mask(rng: np.random.Generator, share: float, out: Array) -> Array:
    """Draw what dropout multiplies a layer's outputs by: 0 with probability `share`, else 1 / (1 - share).

    out: (B, H), filled and returned: the same units are dropped at every step of a window.
    Source: Srivastava et al. 2014; one mask a sequence as in Gal & Ghahramani 2016, arXiv:1512.05287.
    """
    np.multiply(rng.random(out.shape, dtype=np.float32) >= share, 1 / (1 - share), out=out)
    return out


def head_loss_and_grads(
    params: Parameters,
    grads: Parameters,
    hs: Array,
    targets: Ids,
    weights: Array | None,
    scale: float,
    work: Workspace,
    dhs: Array,
) -> float:
    """Softmax head: summed cross-entropy of W_head h + b_head, and its gradients times `scale`.

    grads: where those of the head are written.  hs: rows (T*B, H).  dhs: filled with d loss / d hs.
    targets, weights: (T, B).
    Returns the loss in nats.
    """
    weight, bias = params["head.weight"], params["head.bias"]
    weight_grad, bias_grad = grads["head.weight"], grads["head.bias"]
    vocabulary, n = len(weight), targets.size
    targets, weights = targets.ravel(), None if weights is None else weights.ravel()
    run = max(FEWEST_AT_ONCE, LOGITS_AT_ONCE // vocabulary)
    columns = weight.T
    if rows_at_once(weight.size):
        columns = work.scratch("head", *weight.T.shape)
        np.copyto(columns, weight.T)
    loss = 0.0
    for start in range(0, n, run):
        span = slice(start, min(start + run, n))
        logits = multiply_rows(hs[span], columns, work.scratch("logits", span.stop - start, vocabulary))
        logits += bias
        counted = None if weights is None else weights[span]
        run_loss, dlogits = cross_entropy(logits, targets[span], counted, scale)
        loss += run_loss
        multiply_rows(dlogits, weight, dhs[span])  # undoes W_head h
        part = weight_grad if start == 0 else work.scratch("head_grad", *weight.shape)
        write_gradient(dlogits[None, None], hs[None, span], part, work)
        if start == 0:
            bias_grad[...] = sum_rows(dlogits)
        else:
            weight_grad += part
            bias_grad += sum_rows(dlogits)
    return loss
