"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from charlm.arrays import Array
from charlm.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Momentum: the step is a decaying sum of past gradients.

    References
    ----------
    Polyak 1964, in the form of Sutskever et al. 2013 without Nesterov's correction.
    """

    moment_names = ("velocity",)
    momentum = 0.9

    def update_block(self, params: Array, grads: Array, learning_rate: float, *moments: Array) -> None:
        """Compute u = mu u + g,  w = w - lr u."""
        (velocity,) = moments
        velocity *= self.momentum
        velocity += grads
        params -= learning_rate * velocity
