"""The layers around the cells: one-hot input projection, dropout, softmax head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.kernels.matmul import multiply_rows, rows_at_once, write_gradient
from charlm.kernels.workspace import Workspace, sum_rows
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import Parameters
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning
from charlm.nn.window import Window


class OneHotProjection(NamedTuple):
    """W_ih @ one_hot(ids) + b as a table lookup, as in `torch.nn.Embedding`.

    Attributes
    ----------
    table : array (U, G*H)
        W_ih^T + b, scaled: one row for each id that the window uses.
    rows : ids (T, B)
        Row of the table for each input.
    used : ids (U,)
        Id of each row.
    """

    table: Array
    rows: Ids
    used: Ids

    @classmethod
    def prepare(cls, weight: Array, bias: Array, scale: Array, ids: Ids) -> OneHotProjection:
        """Prepare the table for a window.

        Parameters
        ----------
        weight : array (G*H, V)
            W_ih, not scaled.
        bias : array (1, G*H)
            Scaled.
        scale : array (1, G*H)
        ids : ids (T, B)
        """
        is_used = np.bincount(ids.ravel(), minlength=weight.shape[1]) > 0
        used, rows = np.flatnonzero(is_used), np.cumsum(is_used) - 1
        return cls(projection_table(weight[:, used], bias, scale), rows[ids], used)

    def forward(self, zs: Array) -> Array:
        """Write the projection into `zs` (G, T, B, H) and return it."""
        gates, hidden = len(zs), zs.shape[3]
        table = self.table.reshape(-1, hidden)
        for gate, z in enumerate(zs):
            np.take(table, self.rows * gates + gate, axis=0, out=z, mode="clip")
        return zs

    def backward(self, dzs: Array, grad: Array, work: Workspace, tuning: NnTuning = DEFAULT_TUNING) -> None:
        """Write d loss / d W_ih into `grad` (G*H, V), for dzs (G, T, B, H).

        dz^T @ one_hot(ids) is the sum of the rows of each id; summing them is many times faster than the product.
        """
        gates, hidden = len(dzs), dzs.shape[3]
        rows, dzs = self.rows.ravel(), dzs.reshape(gates, -1, hidden)
        order = np.argsort(rows.astype(np.min_scalar_type(len(self.table))), kind="stable")  # a fast radix sort
        groups = np.split(order, np.cumsum(np.bincount(rows))[:-1])  # positions of each id in the window
        sums = work.scratch("sums", len(groups), gates, hidden)
        sums.fill(0)
        for total, group in zip(sums, groups, strict=True):
            for first in range(0, len(group), tuning.max_gathered_rows):
                total += np.add.reduce(dzs.take(group[first : first + tuning.max_gathered_rows], axis=1), axis=1)
        grad.fill(0)
        grad[:, self.used] = sums.reshape(len(groups), -1).T


def projection_table(weight: Array, bias: Array, scale: Array) -> Array:
    """Return the rows that a one-hot projection looks up, weight^T * scale + bias, (V, G*H)."""
    table = np.multiply(weight.T, scale, order="C")
    table += bias
    return table


def dropout_mask(rng: np.random.Generator, fraction: float, out: Array) -> Array:
    """Draw the factors of inverted dropout.

    Parameters
    ----------
    rng : np.random.Generator
    fraction : float
        Probability of 0; the other values are 1 / (1 - fraction).
    out : array
        Overwritten and returned. A window has one mask (B, H) for all its steps.

    References
    ----------
    Srivastava et al. 2014; one mask per sequence as in Gal & Ghahramani 2016, arXiv:1512.05287.
    """
    np.multiply(rng.random(out.shape, dtype=np.float32) >= fraction, 1 / (1 - fraction), out=out)
    return out


def head_loss_and_grads(
    params: Parameters, grads: Parameters, window: Window, hs: Array, dhs: Array, work: Workspace,
    tuning: NnTuning = DEFAULT_TUNING,
) -> float:  # fmt: skip
    """Compute the summed cross-entropy of W_head h + b_head, and its gradients times `window.scale`.

    Parameters
    ----------
    params : Parameters
    grads : Parameters
        Those of the head are overwritten.
    window : Window
        Its inputs are not used.
    hs : array (T*B, H)
        Output of the stack.
    dhs : array (T*B, H)
        Overwritten by d loss / d hs.
    work : Workspace
    tuning : NnTuning

    Returns
    -------
    float
        The loss in nats, not scaled.
    """
    weight, bias = params["head.weight"], params["head.bias"]
    weight_grad, bias_grad = grads["head.weight"], grads["head.bias"]
    weight_grad.fill(0)
    bias_grad.fill(0)
    partial = work.scratch("partial_head_gradient", *weight.shape)
    vocabulary, targets = len(weight), window.targets.ravel()
    counts = None if window.weights is None else window.weights.ravel()
    columns = weight.T
    if rows_at_once(weight.size):
        columns = work.scratch("head", *weight.T.shape)
        np.copyto(columns, weight.T)
    loss = 0.0
    chunk_rows = max(tuning.min_head_rows, tuning.max_cached_logits // vocabulary)
    for start in range(0, len(targets), chunk_rows):
        span = slice(start, min(start + chunk_rows, len(targets)))
        logits = multiply_rows(hs[span], columns, work.scratch("logits", span.stop - start, vocabulary))
        logits += bias
        span_counts = None if counts is None else counts[span]
        span_loss, dlogits = cross_entropy(logits, targets[span], span_counts, window.scale)
        loss += span_loss
        multiply_rows(dlogits, weight, dhs[span])  # backward of W_head h
        write_gradient(dlogits[None, None], hs[None, span], partial, work)
        weight_grad += partial
        bias_grad += sum_rows(dlogits)
    return loss
