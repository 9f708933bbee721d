"""The softmax and its cross-entropy, stable for logits of any size. One column is one prediction."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask


def log_softmax(logits: Array) -> Array:
    """Turn logits (V, N) into log-probabilities, in place; returns them."""
    logits -= logits.max(axis=0)
    logits -= np.log(np.exp(logits).sum(axis=0))
    return logits


def loss_and_slopes(logits: Array, targets: Ids, counts: Mask) -> Array:
    """Sum -log softmax(b * logits)[target] over the columns that count, with its first two derivatives by b, at b = 1.

    logits: (V, N); overwritten.  targets, counts: (N,).  Returns (3,) in float64: nats, slope, curvature.
    With z the logits and p their softmax, the derivatives are E_p[z] - z_target and Var_p[z].
    """
    logits -= logits.max(axis=0)
    p = np.exp(logits)
    total = p.sum(axis=0)
    p /= total
    at_target = logits[targets, np.arange(targets.size)]
    p *= logits
    mean = p.sum(axis=0)
    p *= logits
    variance = p.sum(axis=0) - mean * mean
    terms = np.log(total) - at_target, mean - at_target, variance
    return np.array([term[counts].sum(dtype=np.float64) for term in terms])


def cross_entropy(logits: Array, targets: Ids, weights: Array | None, scale: float) -> tuple[float, Array]:
    """Sum of -log softmax(logits)[target] over the columns, and its gradient.

    logits: (V, N); overwritten by the gradient, d (scale * sum) / d logits = scale (p - one_hot(target)).
    targets: (N,).  weights: (N,), how much each column counts; None for one each.
    Returns the unscaled sum, in nats, and the gradient.
    """
    places = np.arange(targets.size)
    logits -= logits.max(axis=0)
    at_target = logits[targets, places]
    p = np.exp(logits, out=logits)
    total = p.sum(axis=0)
    losses = np.log(total) - at_target
    share = np.full_like(total, scale) if weights is None else weights * scale
    p *= share / total
    p[targets, places] -= share
    return float(losses.sum(dtype=np.float64) if weights is None else losses.astype(np.float64) @ weights), p
