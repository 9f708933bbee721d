"""The softmax and its cross-entropy, stable for logits of any size. One row is one prediction."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids, Mask

SAFE_RANGE = 80.0
"""How far logits may lie apart so that exponentials of their differences stay normal numbers in float32: e^-87."""


def shift_logits(logits: Array) -> None:
    """Subtract a number from each row of logits (N, V), in place, so that its softmax can be computed as it stands.

    It is the greatest of all logits, or, where they lie so far apart that a sum might vanish, that of each row.
    """
    top = logits.max(initial=-np.inf)
    if top - logits.min(initial=np.inf) > SAFE_RANGE:
        top = logits.max(axis=1, keepdims=True)
    logits -= top


def log_softmax(logits: Array) -> Array:
    """Turn logits (N, V) into log-probabilities, in place; returns them. A row does not depend on the others."""
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def gather_log_probs(logits: Array, targets: Ids, rows: Ids | None = None) -> Array:
    """Return log softmax(logits)[target], in nats, for each row, or for the row that each target names: (N,) or (M,).

    logits: (N, V); overwritten.  targets: (N,) or (M,).  rows: (M,), or None for each row once.
    """
    shift_logits(logits)
    at_target = logits[np.arange(targets.size) if rows is None else rows, targets]
    log_sums = np.log(sum_of_each(np.exp(logits, out=logits)))
    return at_target - (log_sums if rows is None else log_sums[rows])


def sum_of_each(rows: Array) -> Array:
    """Return the sum of each row of (N, V), (N,): a product with ones is the fastest sum."""
    return rows @ np.ones(rows.shape[1], rows.dtype)


def loss_and_derivatives(logits: Array, targets: Ids, counts: Mask) -> Array:
    """Sum -log softmax(b * logits)[target] over the rows that count, with its first two derivatives by b, at b = 1.

    logits: (N, V); overwritten.  targets, counts: (N,).  Returns (3,) in float64: nats, slope, curvature.
    With z the logits and p their softmax, the derivatives are E_p[z] - z_target and Var_p[z].
    """
    shift_logits(logits)
    p = np.exp(logits)
    total = sum_of_each(p)
    at_target = logits[np.arange(targets.size), targets]
    p *= logits
    mean = sum_of_each(p) / total
    p *= logits
    variance = sum_of_each(p) / total - mean * mean
    terms = np.log(total) - at_target, mean - at_target, variance
    return np.array([term[counts].sum(dtype=np.float64) for term in terms])


def cross_entropy(logits: Array, targets: Ids, weights: Array | None, scale: float) -> tuple[float, Array]:
    """Sum of -log softmax(logits)[target] over the rows, and its gradient.

    logits: (N, V); overwritten by the gradient, d (scale * sum) / d logits = scale (p - one_hot(target)).
    targets: (N,).  weights: (N,), how much each row counts; None for one each.
    Returns the unscaled sum, in nats, and the gradient.
    """
    places = np.arange(targets.size), targets
    shift_logits(logits)
    at_target = logits[places]
    p = np.exp(logits, out=logits)
    total = sum_of_each(p)
    losses = np.log(total) - at_target
    share = np.full_like(total, scale) if weights is None else weights * scale
    p *= (share / total)[:, None]
    p[places] -= share
    return float(losses.sum(dtype=np.float64) if weights is None else losses.astype(np.float64) @ weights), p
