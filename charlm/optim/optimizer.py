"""What every optimizer offers to the trainer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from charlm.arrays import Array

BLOCK = 1 << 17
"""Parameters updated at a time: few enough for a cache, and so many that threads seldom wait for the interpreter."""


class Optimizer(ABC):
    """An update rule over one flat vector, elementwise, so that parts of it can be updated by threads.

    size: P.  moments: what it remembers for each parameter, (P,) each, zero at first.
    steps: updates so far.
    """

    moment_names: ClassVar[tuple[str, ...]]

    def __init__(self, size: int, dtype: Any = np.float32) -> None:
        self.moments = {name: np.zeros(size, dtype) for name in self.moment_names}
        self.steps = 0

    def begin_step(self) -> None:
        """Count an update. Call it once, before `update` is called for each part of the vector."""
        self.steps += 1

    def update(self, params: Array, grads: Array, learning_rate: float, part: slice = slice(None)) -> None:
        """Move `part` of params (P,) along its gradients (P,), in place; grads may be overwritten."""
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
        """Move a block of parameters; all arrays are views of the same length."""


def blocks(part: slice, size: int) -> Iterator[slice]:
    """Cut a part of a vector of `size` elements into blocks."""
    start, stop, _ = part.indices(size)
    for first in range(start, stop, BLOCK):
        yield slice(first, min(first + BLOCK, stop))
