"""Adam."""

from __future__ import annotations

import math

import numpy as np

from charlm.arrays import Array
from charlm.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adaptive moment estimation.

    References
    ----------
    Kingma & Ba 2015, arXiv:1412.6980, algorithm 1, in the more efficient form of its section 2.
    """

    moment_names = ("mean", "square")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def update_block(self, params: Array, grads: Array, learning_rate: float, *moments: Array) -> None:
        """Compute m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w = w - lr m^ / (sqrt(v^) + eps)."""
        mean, square = moments
        addend = grads * (1 - self.beta1)
        mean *= self.beta1
        mean += addend
        np.multiply(grads, grads, out=addend)
        addend *= 1 - self.beta2
        square *= self.beta2
        square += addend
        corrected = math.sqrt(1 - self.beta2**self.steps)
        step = learning_rate * corrected / (1 - self.beta1**self.steps)
        root = np.sqrt(square, out=addend)
        root += self.epsilon * corrected
        np.divide(mean, root, out=root)
        root *= step
        params -= root
