"""The layers around the cells: one-hot input projection, dense projection, dropout, softmax head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.nn.functional import cross_entropy
from charlm.nn.layout import Parameters
from charlm.nn.workspace import Workspace

LOGITS_AT_ONCE = 1 << 17
"""Logits that the head keeps at a time, so that they stay in a core's cache."""
FEWEST_AT_ONCE = 256
"""Columns that the head takes at a time at least: each time the gradient of all its weights is added up."""
SMALL_VOCABULARY = 256
"""Up to here a whole table is prepared for each window; beyond, only the columns that the window needs."""


class OneHotProjection(NamedTuple):
    """W_ih @ one_hot(ids) + b as a gather of columns; the one-hot matrix is not made.

    table: W_ih + b, scaled: a column for each id, (G*H, V); in a large vocabulary a row for each id in use, (U, G*H).
    places: ids as columns or rows of the table, (T, B).  used: the ids that its rows stand for, (U,); None for columns.
    """

    table: Array
    places: Ids
    used: Ids | None

    @classmethod
    def prepare(cls, weight: Array, bias: Array, scale: Array, ids: Ids) -> OneHotProjection:
        """Prepare for the ids (T, B) of a window.  weight: W_ih (G*H, V).  bias, scale: (G*H, 1)."""
        if weight.shape[1] <= SMALL_VOCABULARY:
            return cls((weight + bias) * scale, ids, None)
        used, places = np.unique(ids, return_inverse=True)
        return cls(np.ascontiguousarray(((weight[:, used] + bias) * scale).T), places.reshape(ids.shape), used)

    def forward(self, zs: Array) -> Array:
        """Fill and return zs (T, G*H, B)."""
        for z, places in zip(zs, self.places, strict=True):
            if self.used is None:
                np.take(self.table, places, axis=1, out=z, mode="clip")
            else:
                np.copyto(z, self.table[places].T)
        return zs

    def backward(self, dzs: Array, grad: Array, work: Workspace) -> None:
        """Write d loss / d W_ih into `grad` (G*H, V).  dzs: (G*H, T*B), its columns as `places`."""
        places = self.places.ravel()
        if self.used is None:
            hot = work.scratch("hot", places.size, grad.shape[1])
            hot.fill(0)
            hot[np.arange(places.size), places] = 1
            np.matmul(dzs, hot, out=grad)
            return
        order = np.argsort(places, kind="stable")
        bounds = np.searchsorted(places[order], np.arange(self.used.size + 1)).tolist()
        rows = dzs.T[order]
        sums = work.scratch("sums", self.used.size, len(dzs))
        for total, first, last in zip(sums, bounds, bounds[1:], strict=False):
            np.add.reduce(rows[first:last], axis=0, out=total)
        grad.fill(0)
        grad[:, self.used] = sums.T


def dense(weight: Array, bias: Array, xs: Array, zs: Array, work: Workspace) -> Array:
    """Fill zs (T, G*H, B) with weight @ xs + bias: one product for the whole window.

    weight: (G*H, F).  bias: (G*H, 1).  xs: columns (F, T*B).
    """
    steps, rows, streams = zs.shape
    product = np.matmul(weight, xs, out=work.scratch("wide", rows, steps * streams))
    np.add(product.reshape(rows, steps, streams).transpose(1, 0, 2), bias, out=zs)
    return zs


def dropout_mask(rng: np.random.Generator, share: float, out: Array) -> Array:
    """Draw what dropout multiplies a layer's outputs by: 0 with probability `share`, else 1 / (1 - share).

    out: (H, B), filled and returned: the same units are dropped at every step of a window.
    Source: Srivastava et al. 2014; one mask a sequence as in Gal & Ghahramani 2016, arXiv:1512.05287.
    """
    np.multiply(rng.random(out.shape, dtype=np.float32) >= share, 1 / (1 - share), out=out)
    return out


def head_loss_and_grads(
    params: Parameters, grads: Parameters, hs: Array, targets: Ids, weights: Array | None, scale: float, work: Workspace
) -> float:
    """Softmax head: summed cross-entropy of W_head h + b_head, and its gradients times `scale`.

    grads: where those of the head are written.  hs: columns (H, T*B), replaced by d loss / d hs.
    targets, weights: (T, B).
    Returns the loss in nats.
    """
    weight, bias = params["head.weight"], params["head.bias"]
    weight_grad, bias_grad = grads["head.weight"], grads["head.bias"]
    vocabulary, n = len(weight), targets.size
    targets, weights = targets.ravel(), None if weights is None else weights.ravel()
    run = max(FEWEST_AT_ONCE, LOGITS_AT_ONCE // vocabulary)
    loss = 0.0
    for start in range(0, n, run):
        span = slice(start, min(start + run, n))
        room = work.scratch("logits", vocabulary, span.stop - start)
        logits = np.matmul(weight, hs[:, span], out=room)
        logits += bias[:, None]
        counted = None if weights is None else weights[span]
        run_loss, dlogits = cross_entropy(logits, targets[span], counted, scale)
        loss += run_loss
        if start == 0:
            np.matmul(dlogits, hs[:, span].T, out=weight_grad)
            np.sum(dlogits, axis=1, out=bias_grad)
        else:
            weight_grad += dlogits @ hs[:, span].T
            bias_grad += dlogits.sum(axis=1)
        np.matmul(weight.T, dlogits, out=hs[:, span])
    return loss
