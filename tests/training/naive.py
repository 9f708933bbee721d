"""Train a network by its definition: float64, numeric gradients, every rule of an update in a line or two.

The oracle of the trainer. Of `charlm` it uses the schedule of the learning rate alone; the network is that of
`tests.nn.reference`. T steps, B streams, V vocabulary, H hidden, P parameters, K shards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.config import TrainConfig
from charlm.nn.network import Network
from charlm.text.batches import Batch, Batches
from charlm.training.schedule import learning_rate
from tests.nn import reference

Array = npt.NDArray[np.float64]
STEP = 1e-6


class Windows(Batches):
    """Windows that are given one by one, again and again."""

    def __init__(self, windows: Sequence[Batch]) -> None:
        self.windows = windows
        self.steps, self.streams = windows[0].inputs.shape
        self.windows_per_epoch = len(windows)
        self.window = 0

    def next(self) -> Batch:
        """Return the next window."""
        self.window += 1
        return self.read(0, (self.window - 1) % len(self.windows))

    def read(self, epoch: int, index: int) -> Batch:
        """Return a window."""
        return self.windows[index]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the next window."""
        return {"window": self.window}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with a window."""
        self.window = state["window"]


def random_windows(rng: np.random.Generator, count: int, steps: int, streams: int, vocabulary: int) -> list[Batch]:
    """Draw windows of running text (T, B); in every other one some targets do not count."""
    ids = rng.integers(0, vocabulary, (count * steps + 1, streams))
    windows = []
    for k in range(count):
        own = ids[k * steps : (k + 1) * steps + 1]
        weights = (rng.random((steps, streams)) < 0.6).astype(np.float64) if k % 2 else None
        windows.append(Batch(own[:-1], own[1:], weights))
    return windows


def tensors(network: Network, flat: Array) -> dict[str, Array]:
    """Return the parameters (P,) by their names."""
    return dict(network.parameters(flat).items())


def numeric_gradient(function: Callable[[Array], float], at: Array) -> Array:
    """Return the gradient of a function of a vector (P,), by central differences."""
    gradient = np.empty_like(at)
    for k in range(at.size):
        above, below = at.copy(), at.copy()
        above[k] += STEP
        below[k] -= STEP
        gradient[k] = (function(above) - function(below)) / (2 * STEP)
    return gradient


def masks_of(network: Network, seed: int, window: int, shards: int, streams: int) -> list[Array]:
    """Draw the dropout masks of a window (B, H), for each layer; each shard draws those of its own streams."""
    config = network.config
    parts = []
    for shard in range(shards):
        own = streams * (shard + 1) // shards - streams * shard // shards
        rng = np.random.default_rng([seed, 4, window, shard])
        parts.append([rng.random((own, config.hidden), dtype=np.float32) for _ in range(config.layers)])
    return [(np.concatenate(layer) >= config.dropout) / (1 - config.dropout) for layer in zip(*parts, strict=True)]


class Update:
    """An optimizer on whole vectors (P,), as its paper has it."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.first, self.second = np.zeros(size), np.zeros(size)
        self.steps = 0

    def __call__(self, gradient: Array) -> Array:
        """Return what the weights move by at a learning rate of -1."""
        self.steps += 1
        if self.name == "sgd":
            self.first = 0.9 * self.first + gradient
            return self.first
        if self.name == "rmsprop":
            self.second = 0.99 * self.second + 0.01 * gradient**2
            return gradient / (np.sqrt(self.second) + 1e-8)
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        mean = self.first / (1 - 0.9**self.steps)
        return mean / (np.sqrt(self.second / (1 - 0.999**self.steps)) + 1e-8)


def train(
    network: Network, flat: Array, windows: Sequence[Batch], config: TrainConfig, shards: int = 1
) -> tuple[Array, Array, list[float], list[float]]:
    """Train on each window once. Return the weights, their average, and the loss and gradient norm of each step.

    flat: initial weights (P,), left as they are.
    """
    weights, average = flat.copy(), flat.copy()
    update = Update(config.optimizer, flat.size)
    layers, arrays, hidden = network.state_shape
    state: reference.State = [(np.zeros((windows[0].inputs.shape[1], hidden)),) * arrays] * layers
    losses, norms = [], []
    for number, window in enumerate(windows):
        masks = masks_of(network, config.seed, number, shards, window.inputs.shape[1])
        counts = np.ones(window.targets.shape) if window.weights is None else window.weights

        def read(flat: Array, window: Batch = window, state: reference.State = state, masks: Any = masks) -> Any:
            own = tensors(network, flat)
            return own, *reference.read(
                network.config.cell, own, window.inputs, state, start=network.start, masks=masks
            )

        def mean_loss(flat: Array, window: Batch = window, counts: Any = counts, read: Any = read) -> float:
            own, tops, _ = read(flat)
            log_probs = reference.at(reference.log_softmax(own, tops), window.targets)
            return float(-(log_probs * counts).sum() / counts.sum())

        gradient = numeric_gradient(mean_loss, weights)
        losses.append(mean_loss(weights))
        norms.append(float(np.linalg.norm(gradient)))
        state = read(weights)[2]
        if config.clip:
            gradient *= min(1.0, config.clip / norms[-1])
        weights -= learning_rate(config, number / len(windows)) * update(gradient)
        decay = min(config.average, (2 + number) / (11 + number))
        average = decay * average + (1 - decay) * weights
    return weights, average, losses, norms
