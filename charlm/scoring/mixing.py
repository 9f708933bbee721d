"""Fit the weights of a mixture of models to a text."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array


def fit_weights(log_probs: Array, iterations: int = 100) -> Array:
    """Return the weights of a mixture that maximise the probability of a text, by expectation maximisation.

    Parameters
    ----------
    log_probs : array (K, N)
        Log-probability of each of N characters under each of K models, in nats.
    iterations : int, default 100

    Returns
    -------
    array (K,)
        They sum to 1.

    References
    ----------
    Jelinek & Mercer 1980, Interpolated estimation of Markov source parameters from sparse data.
    """
    probs = np.exp(log_probs - log_probs.max(axis=0))
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(iterations):
        joint = weights[:, None] * probs
        weights = (joint / joint.sum(axis=0)).mean(axis=1)
    return weights
