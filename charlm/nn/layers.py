"""The layers around the cells: one-hot input projection, dropout, softmax head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids, split_ids
from charlm.kernels.matmul import multiply_rows, rows_at_once, write_gradient
from charlm.kernels.workspace import Workspace, sum_rows
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import LayerParameters, Parameters
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning
from charlm.nn.window import Window


class OneHotProjection(NamedTuple):
    """W_ih @ one_hot(ids) + b as a table lookup, as in `torch.nn.Embedding`; W_ih @ embedding[ids] + b if tied.

    An id of a token with one of L labels has two ones: the input is the one-hot vectors of both, (V + L,).

    Attributes
    ----------
    table : array (U, G*H)
        The projection, scaled: one row for each id that the window uses.
    rows : ids (T, B)
        Row of the table for each input.
    used : ids (U,)
        Id of each row.
    embedding : array (U, H) or None
        Embedding of each row's id; None for a one-hot input.
    conditions : int
        L; 0 if no label is read.
    """

    table: Array
    rows: Ids
    used: Ids
    embedding: Array | None
    conditions: int = 0

    @classmethod
    def prepare(
        cls, weight: Array, bias: Array, scale: Array, ids: Ids, embedding: Array | None = None, conditions: int = 0
    ) -> OneHotProjection:
        """Prepare the table for a window.

        Parameters
        ----------
        weight : array (G*H, V + L), or (G*H, H) with an embedding
            W_ih, not scaled.
        bias : array (1, G*H)
            Scaled.
        scale : array (1, G*H)
        ids : ids (T, B)
        embedding : array (V, H), optional
            Embeddings of the tokens, the inputs of a tied network.
        conditions : int
            L; 0 if no label is read.
        """
        is_used = np.bincount(ids.ravel()) > 0
        used, rows = np.flatnonzero(is_used), np.cumsum(is_used) - 1
        own = None if embedding is None else embedding[used]
        tokens, labels = split_ids(used, conditions) if conditions else (used, None)
        columns = weight[:, tokens] if own is None else weight @ own.T
        if labels is not None:
            columns += weight[:, weight.shape[1] - conditions + labels]
        return cls(projection_table(columns, bias, scale), rows[ids], used, own, conditions)

    def forward(self, zs: Array) -> Array:
        """Write the projection into `zs` (G, T, B, H) and return it."""
        gates, hidden = len(zs), zs.shape[3]
        table = self.table.reshape(-1, hidden)
        for gate, z in enumerate(zs):
            np.take(table, self.rows * gates + gate, axis=0, out=z, mode="clip")
        return zs

    def backward(self, dzs: Array, grad: Array, work: Workspace) -> None:
        """Write d loss / d W_ih of a one-hot input into `grad` (G*H, V + L), for dzs (G, T, B, H)."""
        grad.fill(0)
        sums = self.sums(dzs, work)
        if not self.conditions:
            grad[:, self.used] = sums.T
            return
        tokens, labels = split_ids(self.used, self.conditions)
        for columns in (tokens, grad.shape[1] - self.conditions + labels):
            distinct, sums_of_columns = sum_groups(sums, columns)
            grad[:, distinct] = sums_of_columns.T

    def backward_tied(
        self, dzs: Array, weight: Array, grad: LayerParameters, embedding_grad: Array, work: Workspace
    ) -> None:
        """Write the gradients of W_ih (G*H, H) and b_ih, and add that of the embedding, for dzs (G, T, B, H).

        weight: W_ih.  embedding_grad: (V, H).
        """
        assert self.embedding is not None
        sums = self.sums(dzs, work)
        np.matmul(sums.T, self.embedding, out=grad.weight_ih)
        sums.sum(axis=0, out=grad.bias_ih)
        embedding_grad[self.used] += sums @ weight

    def sums(self, dzs: Array, work: Workspace, tuning: NnTuning = DEFAULT_TUNING) -> Array:
        """Return the sums of dzs (G, T, B, H) over the positions of each id, (U, G*H), in scratch memory.

        That is one_hot(ids)^T @ dz; summing the rows of each id is many times faster than the product.
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
        return sums.reshape(len(groups), -1)


def sum_groups(rows: Array, groups: Ids) -> tuple[Ids, Array]:
    """Return the distinct groups, (n,), and the sum of the rows of each, (n, K).

    rows: (U, K).  groups: the group of each row, (U,).
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[firsts], np.add.reduceat(rows[order], firsts, axis=0)


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
