"""An engine whose weights are in the memory of this process: gradients of the NumPy engine, update on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import TrainConfig
from charlm.engines.engine import StepValues
from charlm.engines.numpy_engine import NumpyEngine
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.optim import find_optimizer
from charlm.optim.averaging import new_fraction
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import blocks


class HostEngine:
    """An `Engine` on the CPU; use as a context.

    Parameters
    ----------
    gradients : NumpyEngine
        Holds the weights and computes their gradients.
    train : TrainConfig
        Optimizer, clipping and averaging.

    Attributes
    ----------
    params : Parameters
        The trained weights.
    average : Parameters
        Their running average; the weights themselves if `average` is 0 in the config.
    """

    is_asynchronous = False
    params: Parameters
    average: Parameters

    def __init__(self, gradients: NumpyEngine, train: TrainConfig) -> None:
        self._gradients, self._train = gradients, train
        self._values: list[StepValues] = []

    def __enter__(self) -> HostEngine:
        """Start the workers, and allocate the average and the moments of the optimizer; see `NumpyEngine`."""
        with ExitStack() as stack:
            stack.enter_context(self._gradients)
            self.params = self._gradients.params
            self._optimizer = find_optimizer(self._train.optimizer, self.params.flat.size, self.params.flat.dtype)
            self.average = self.params.copy() if self._train.average else self.params
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the workers."""
        self._stack.close()

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def step(self, inputs: Ids, targets: Ids, weights: Array | None, window: int, rate: float) -> None:
        """Train on one window; see `Engine.step`."""
        loss = self._gradients.loss_and_grads(inputs, targets, weights, window)
        grads = self._gradients.grads
        try:
            norm = clip_by_global_norm(grads, self._train.clip)
        except DivergedError:
            norm = math.nan
        else:
            self._update(grads, window, rate)
        self._values.append(StepValues(loss, norm, self._gradients.characters))

    def _update(self, grads: Array, window: int, rate: float) -> None:
        """Update the weights and their average."""
        self._optimizer.begin_step()
        self._optimizer.update(self.params.flat, grads, rate)
        if self.average is not self.params:
            fraction = new_fraction(self._train.average, window + 1)
            for block in blocks(slice(None), self.params.flat.size):
                self.average.flat[block] += fraction * (self.params.flat[block] - self.average.flat[block])

    def read_steps(self) -> list[StepValues]:
        """Return the values of the steps since the last call; see `Engine.read_steps`."""
        values, self._values = self._values, []
        return values

    @property
    def evaluated(self) -> Parameters:
        """The averaged weights; see `Engine.evaluated`."""
        return self.average

    def has_finite_weights(self) -> bool:
        """Return whether all weights are finite; see `Engine.has_finite_weights`."""
        with np.errstate(all="ignore"):
            return math.isfinite(float(np.dot(self.params.flat, self.params.flat)))

    def state_dict(self) -> dict[str, Any]:
        """Return all state, the arrays of P values as views; see `Engine.state_dict`."""
        return {
            "params": self.params.flat,
            **({} if self.average is self.params else {"average": self.average.flat}),
            **self._optimizer.state_dict(),
            **self._gradients.state_dict(),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return all state; see `state_dict`."""
        return self.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; see `Engine.load_state_dict`."""
        self.params.flat[...] = state["params"]
        if self.average is not self.params:
            self.average.flat[...] = state["average"]
        self._optimizer.load_state_dict(state)
        self._gradients.load_state_dict(state)
        self._values = []

    def free_buffers(self) -> None:
        """Free the buffers of all processes; see `Engine.free_buffers`."""
        self._gradients.free_buffers()
