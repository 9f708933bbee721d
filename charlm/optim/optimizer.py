"""The interface of an optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from charlm.arrays import Array

BLOCK = 1 << 17
"""Parameters updated at a time: they fit a core's cache, and threads seldom wait for the interpreter's lock."""


class Optimizer(ABC):
    """An elementwise update rule for one flat vector, so that threads can update parts of it.

    Parameters
    ----------
    size : int
        P, the number of parameters.
    dtype : dtype, default float32

    Attributes
    ----------
    moments : dict of str to array (P,)
        Running values for each parameter, zero at first.
    steps : int
        Number of updates so far.
    """

    moment_names: ClassVar[tuple[str, ...]]

    def __init__(self, size: int, dtype: Any = np.float32) -> None:
        self.moments = {name: np.zeros(size, dtype) for name in self.moment_names}
        self.steps = 0

    def begin_step(self) -> None:
        """Count an update. Call it once before `update` is called for the parts of the vector."""
        self.steps += 1

    def update(self, params: Array, grads: Array, learning_rate: float, part: slice = slice(None)) -> None:
        """Update `part` of params (P,) in place; its gradients (P,) may be overwritten."""
        for block in blocks(part, params.size):
            moments = [self.moments[name][block] for name in self.moment_names]
            self.update_block(params[block], grads[block], learning_rate, *moments)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments and the number of updates."""
        return {f"moment.{name}": moment for name, moment in self.moments.items()} | {"optimizer_steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned; other entries are ignored."""
        for name, moment in self.moments.items():
            moment[...] = state[f"moment.{name}"]
        self.steps = state["optimizer_steps"]

    @abstractmethod
    def update_block(self, params: Array, grads: Array, learning_rate: float, *moments: Array) -> None:
        """Update a block of parameters in place; all arrays are views of the same length."""


def blocks(part: slice, size: int) -> Iterator[slice]:
    """Yield slices of at most `BLOCK` elements that make up `part` of a vector of `size` elements."""
    start, stop, _ = part.indices(size)
    for first in range(start, stop, BLOCK):
        yield slice(first, min(first + BLOCK, stop))
