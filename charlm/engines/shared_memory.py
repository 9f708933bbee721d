"""Memory that the shards of a run share, and what one shard does with it.

A run is split over processes rather than threads: a step of a small network is a few dozen calls of a few
microseconds, and threads would wait for the interpreter's lock between them. Everything a shard needs lies in
one block of shared memory, so a shard has no state of its own: whoever holds the block holds the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array
from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layout import Parameters
from charlm.nn.networks import make_network
from charlm.nn.window import Window

ALIGNMENT = 64
"""Bytes; where an array may begin."""
WINDOW_VALUES = 14_000_000
"""Values of a shard's window from which on its streams are read in turns, so that memory holds those of one turn."""
FEWEST_STREAMS = 8
"""Streams of a turn at least: fewer take as long."""


@dataclass(frozen=True)
class ShardPlan:
    """A run and how it is split; small and JSON-able, so that a worker can be told.

    network, vocabulary, start: as for `BaseNetwork`.  steps, streams: T and B.  shards: K.  seed: of the dropout.
    """

    network: Mapping[str, Any]
    vocabulary: int
    start: int
    steps: int
    streams: int
    shards: int
    seed: int
    dtype: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """Return what `ShardPlan(**...)` takes."""
        return asdict(self)

    def make_network(self) -> BaseNetwork:
        """Return the network."""
        return make_network(NetworkConfig(**self.network), self.vocabulary, self.start)

    def local_slice(self, shard: int) -> slice:
        """Return the streams of a shard; shards differ by one stream at most."""
        return slice(self.streams * shard // self.shards, self.streams * (shard + 1) // self.shards)


class SharedMemory:
    """Views into the block: parameters, a gradient and a state for each shard, and the window at work.

    buffer: at least `SharedMemory.size(split)` bytes; zero at first.
    """

    def __init__(self, split: ShardPlan, buffer: memoryview) -> None:
        self.network = split.make_network()
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        place = 0
        for name, (shape, dtype) in layout(split, self.network).items():
            count = prod(shape)
            self.arrays[name] = np.frombuffer(buffer, dtype, count, place).reshape(shape)
            place += padded(count * np.dtype(dtype).itemsize)

    @staticmethod
    def size(split: ShardPlan) -> int:
        """Return how many bytes the block has."""
        arrays = layout(split, split.make_network()).values()
        return sum(padded(prod(shape) * np.dtype(dtype).itemsize) for shape, dtype in arrays)

    def state(self, shard: int) -> NetworkState:
        """Return views of a shard's carried state."""
        return [tuple(layer) for layer in self.arrays[f"state{shard}"]]


def layout(split: ShardPlan, network: BaseNetwork) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and dtype of everything in the block."""
    window = (split.steps, split.streams)
    arrays: dict[str, tuple[tuple[int, ...], str]] = {"params": ((network.size,), split.dtype)}
    for shard in range(split.shards):
        part = split.local_slice(shard)
        layers, count, hidden = network.state_shape
        state = (layers, count, part.stop - part.start, hidden)
        arrays[f"grads{shard}"] = ((network.size,), split.dtype)
        arrays[f"state{shard}"] = (state, split.dtype)
    return arrays | {
        "inputs": (window, "int64"),
        "targets": (window, "int64"),
        "weights": (window, split.dtype),
        "losses": ((split.shards,), "float64"),
        "scale": ((1,), "float64"),
        "window": ((1,), "int64"),
        "is_weighted": ((1,), "bool"),
    }


def micro_batches_of(network: BaseNetwork, steps: int, streams: int) -> int:
    """Return in how many turns a shard reads the B = `streams` of a window."""
    return max(1, min(network.window_size(steps, streams) // WINDOW_VALUES, streams // FEWEST_STREAMS))


def padded(size: int) -> int:
    """Round up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Shard:
    """The work of one shard: the gradient of its streams."""

    def __init__(self, split: ShardPlan, memory: SharedMemory, shard: int) -> None:
        self.split = split
        self.memory = memory
        self.shard = shard
        self.network = memory.network
        self.params = Parameters(self.network.layout, memory.arrays["params"])
        self.grads = Parameters(self.network.layout, memory.arrays[f"grads{shard}"])
        self._work = Workspace(split.dtype)

    def release(self) -> None:
        """Give the buffers back; the next window makes them anew."""
        self._work = Workspace(self.split.dtype)

    def run(self) -> None:
        """Back-propagate through this shard's part of the window; gradient, state and loss go into the block."""
        arrays, own = self.memory.arrays, self.split.local_slice(self.shard)
        streams = own.stop - own.start
        seeds = [self.split.seed, 4, int(arrays["window"][0]), self.shard]
        rng = np.random.default_rng(seeds) if self.network.config.has_dropout else None
        count = micro_batches_of(self.network, self.split.steps, streams)
        loss = 0.0
        for turn in range(count):
            part = slice(streams * turn // count, streams * (turn + 1) // count)
            loss += self._read(part, self._more_grads if turn else self.grads, rng)
            if turn:
                self.grads.flat += self._more_grads.flat
        arrays["losses"][self.shard] = loss

    def _read(self, part: slice, grads: Parameters, rng: np.random.Generator | None) -> float:
        """Back-propagate through some of this shard's streams; returns their summed loss, in nats."""
        arrays, first = self.memory.arrays, self.split.local_slice(self.shard).start
        columns = slice(first + part.start, first + part.stop)
        weights: Array | None = None
        if arrays["is_weighted"][0]:
            weights = np.ascontiguousarray(arrays["weights"][:, columns])
        state = self.network.select(self.memory.state(self.shard), part)  # views
        window = Window(
            np.ascontiguousarray(arrays["inputs"][:, columns]),
            np.ascontiguousarray(arrays["targets"][:, columns]),
            weights,
            float(arrays["scale"][0]),
        )
        loss, last = self.network.loss_and_grads(self.params, grads, window, state, self._work, rng)
        for layer, after in zip(state, last, strict=True):
            for array, value in zip(layer, after, strict=True):
                array[...] = value
        return loss

    @property
    def _more_grads(self) -> Parameters:
        """The gradient of a turn, to be added."""
        return Parameters(self.network.layout, self._work.array("grads", self.network.size))
