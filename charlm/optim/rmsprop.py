"""RMSprop."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """Divide the gradient by a running root mean square of itself.

    References
    ----------
    Tieleman & Hinton 2012, lecture 6.5 of "Neural networks for machine learning".
    """

    moment_names = ("square",)
    decay, epsilon = 0.99, 1e-8

    def update_block(self, params: Array, grads: Array, learning_rate: float, *moments: Array) -> None:
        """Compute v = a v + (1 - a) g^2,  w = w - lr g / (sqrt(v) + eps)."""
        (square,) = moments
        square *= self.decay
        square += (1 - self.decay) * grads * grads
        root = np.sqrt(square)
        root += self.epsilon
        np.divide(grads, root, out=root)
        root *= learning_rate
        params -= root
