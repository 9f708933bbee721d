"""Softmax and cross-entropy, stable for logits of any size. One row (V,) is one prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charlm.arrays import Array, Ids

SAFE_RANGE = 80.0
"""Range of logits within which exp of a difference is a normal float32: the smallest is about e^-87."""


def shift_logits(logits: Array) -> None:
    """Subtract the maximum from logits (N, V), in place, so that their exponentials neither overflow nor vanish.

    It is the maximum of all logits, or of each row where the logits differ by more than `SAFE_RANGE`.
    """
    top = logits.max(initial=-np.inf)
    if top - logits.min(initial=np.inf) > SAFE_RANGE:
        top = logits.max(axis=1, keepdims=True)
    logits -= top


def log_softmax(logits: Array) -> Array:
    """Turn logits (N, V) into log-probabilities, in place, and return them. Rows do not affect each other."""
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def mix_log_probs(log_probs: Array, log_weights: Array | None = None) -> Array:
    """Return the log-probabilities (...) of a mixture of K models from theirs, (K, ...).

    That is log(sum over k of exp(log_weights[k] + log_probs[k])) for log-weights (K,), by default with the weights 1/K.
    The result has the dtype of the log-probabilities and is finite if the largest of the K values is.
    """
    joint, count = log_probs, len(log_probs)
    if log_weights is not None:
        joint = log_probs + log_weights.astype(log_probs.dtype).reshape(-1, *[1] * (log_probs.ndim - 1))
        count = 1
    top = joint.max(axis=0)
    mixed: Array = top + np.log(np.exp(joint - top).sum(axis=0) / count)
    return mixed


def softmax(logits: Sequence[float]) -> list[float]:
    """Return exp(logits), divided by their sum; a logit of -inf has probability 0."""
    weights = np.exp(np.array(logits, np.float64) - max(logits, default=0.0))
    probabilities: list[float] = (weights / weights.sum()).tolist()
    return probabilities


def row_sums(matrix: Array) -> Array:
    """Return the sum of each row of (N, V), (N,); a product with ones is the fastest sum."""
    return matrix @ np.ones(matrix.shape[1], matrix.dtype)


def gather_log_probs(logits: Array, targets: Ids, rows: Ids | None = None) -> Array:
    """Return log softmax(logits)[target] in nats.

    Parameters
    ----------
    logits : array (N, V)
        Overwritten.
    targets : ids (N,) or (M,)
    rows : ids (M,), optional
        Row of each target; by default one target per row, in order.

    Returns
    -------
    array (N,) or (M,)
    """
    shift_logits(logits)
    at_target = logits[np.arange(targets.size) if rows is None else rows, targets]
    log_sums = np.log(row_sums(np.exp(logits, out=logits)))
    return at_target - (log_sums if rows is None else log_sums[rows])


def loss_and_derivatives(logits: Array, targets: Ids) -> Array:
    """Return -log softmax(b * logits)[target] of each row, and its first two derivatives by b, at b = 1.

    Parameters
    ----------
    logits : array (N, V)
        Overwritten.
    targets : ids (N,)

    Returns
    -------
    array (3, N)
        Loss in nats, first and second derivative.

    Notes
    -----
    With z the logits and p their softmax, the derivatives are E_p[z] - z_target and Var_p[z].
    """
    shift_logits(logits)
    p = np.exp(logits)
    total = row_sums(p)
    at_target = logits[np.arange(targets.size), targets]
    p *= logits
    mean = row_sums(p) / total
    p *= logits
    variance = row_sums(p) / total - mean * mean
    return np.array([np.log(total) - at_target, mean - at_target, variance])


def cross_entropy(logits: Array, targets: Ids, weights: Array | None, scale: float) -> tuple[float, Array]:
    """Sum -log softmax(logits)[target] over the rows, and compute the gradient.

    Parameters
    ----------
    logits : array (N, V)
        Overwritten by the gradient.
    targets : ids (N,)
    weights : array (N,) or None
        Weight of each row; None for one each.
    scale : float
        Factor of the gradient.

    Returns
    -------
    loss : float
        Weighted sum in nats, not scaled.
    dlogits : array (N, V)
        scale * weight * (softmax(logits) - one_hot(target)).
    """
    at = np.arange(targets.size), targets
    shift_logits(logits)
    at_target = logits[at]
    p = np.exp(logits, out=logits)
    total = row_sums(p)
    losses = np.log(total) - at_target
    factors = np.full_like(total, scale) if weights is None else weights * scale
    p *= (factors / total)[:, None]
    p[at] -= factors
    return float(losses.sum(dtype=np.float64) if weights is None else losses.astype(np.float64) @ weights), p
