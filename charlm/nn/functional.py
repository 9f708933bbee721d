"""The softmax and its cross-entropy, stable for logits of any size. One column is one prediction."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids


def log_softmax(logits: Array) -> Array:
    """Turn logits (V, N) into log-probabilities, in place; returns them."""
    logits -= logits.max(axis=0)
    logits -= np.log(np.exp(logits).sum(axis=0))
    return logits


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
