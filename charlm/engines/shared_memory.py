"""The shared memory of the NumPy engine's processes: parameters, gradients, states and the current window.

A run is split over processes rather than threads. A step of a small network is a few dozen calls of NumPy of a few
microseconds each, and threads would wait for the interpreter's lock between them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids, split_evenly
from charlm.config import NetworkConfig
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.networks import make_network

ALIGNMENT = 64
"""Alignment of the arrays, in bytes: a cache line."""


@dataclass(frozen=True)
class ShardPlan:
    """The network of a run, and how its streams are split into shards; every worker process gets it.

    Attributes
    ----------
    config, vocabulary, start : NetworkConfig, int, int
        Arguments of `make_network`.
    steps, streams : int
        Shape (T, B) of a window.
    shards : int
        Number of shards K, one process each.
    seed : int
        Seed of the dropout masks.
    dtype : str
        Type of parameters, gradients and states.
    tuning : EngineTuning
        When to split a shard into micro-batches.
    """

    config: NetworkConfig
    vocabulary: int
    start: int
    steps: int
    streams: int
    shards: int
    seed: int
    dtype: str
    tuning: EngineTuning

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ShardPlan:
        """Return the plan from its fields as nested dicts, the opposite of `dataclasses.asdict`."""
        nested = {"config": NetworkConfig(**fields["config"]), "tuning": EngineTuning(**fields["tuning"])}
        return cls(**{**fields, **nested})

    def local_slice(self, shard: int) -> slice:
        """Return the streams of a shard."""
        return split_evenly(0, self.streams, self.shards)[shard]


def micro_batches_of(network: BaseNetwork, steps: int, streams: int, tuning: EngineTuning = DEFAULT_TUNING) -> int:
    """Return the number of micro-batches into which a shard splits `streams` streams, to bound its memory."""
    by_memory = network.window_size(steps, streams) // tuning.max_micro_batch_values
    return max(1, min(by_memory, streams // tuning.min_micro_batch_streams))


class SharedMemory:
    """Named arrays of a run in one block of bytes, at the same offsets in every process.

    Parameters
    ----------
    plan : ShardPlan
        Determines the arrays, see `_layout`.
    buffer : memoryview
        At least `SharedMemory.size(plan)` bytes, zero at first.
    """

    def __init__(self, plan: ShardPlan, buffer: memoryview) -> None:
        self.plan = plan
        self.network = make_network(plan.config, plan.vocabulary, plan.start)
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        offset = 0
        for name, (shape, dtype) in _layout(plan).items():
            self.arrays[name] = np.frombuffer(buffer, dtype, prod(shape), offset).reshape(shape)
            offset += _padded_size(shape, dtype)
        self.params = self.network.parameters(self.arrays["params"])

    @staticmethod
    def size(plan: ShardPlan) -> int:
        """Return the number of bytes of the block."""
        return sum(_padded_size(shape, dtype) for shape, dtype in _layout(plan).values())

    def state(self, streams: slice) -> NetworkState:
        """Return views of the carried state of some streams."""
        return [tuple(layer[:, streams]) for layer in self.arrays["state"]]

    def write_window(self, inputs: Ids, targets: Ids, weights: Array | None, window: int) -> float:
        """Write the window (T, B) that all shards read next; return the summed weight of its targets."""
        arrays = self.arrays
        arrays["inputs"][...], arrays["targets"][...] = inputs, targets
        arrays["is_weighted"][0] = weights is not None
        if weights is not None:
            arrays["weights"][...] = weights
        total = float(targets.size if weights is None else weights.sum())
        arrays["scale"][0] = 1 / max(total, 1.0)
        arrays["window"][0] = window
        return total


def _layout(plan: ShardPlan) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and type of every array in the block."""
    network = make_network(plan.config, plan.vocabulary, plan.start)
    layers, count, hidden = network.state_shape
    window = (plan.steps, plan.streams)
    return {
        "params": ((network.size,), plan.dtype),
        **{f"grads{shard}": ((network.size,), plan.dtype) for shard in range(plan.shards)},
        "state": ((layers, count, plan.streams, hidden), plan.dtype),
        "inputs": (window, "int64"),
        "targets": (window, "int64"),
        "weights": (window, plan.dtype),
        "is_weighted": ((1,), "bool"),
        "scale": ((1,), "float64"),  # of the gradient: 1 / summed weight of the targets
        "window": ((1,), "int64"),
        "losses": ((plan.shards,), "float64"),  # summed over the streams of each shard, in nats
    }


def _padded_size(shape: tuple[int, ...], dtype: str) -> int:
    """Return the bytes of an array, rounded up to the alignment."""
    return -(-prod(shape) * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT


def allocate_shared_block(size: int, stack: ExitStack) -> tuple[mmap.mmap, int | str]:
    """Return `size` zero bytes, and the file that other processes map: a descriptor, or a path without memfd.

    `stack` closes or removes the file. Raises OSError or ResourceError if there is no memory or disk space.
    """
    if hasattr(os, "memfd_create"):
        import fcntl  # Windows has neither fcntl nor memfd_create

        created = os.memfd_create("charlm")
        descriptor = fcntl.fcntl(created, fcntl.F_DUPFD_CLOEXEC, 3)  # a worker uses 0 to 2 for its standard streams
        os.close(created)
        stack.callback(os.close, descriptor)
        os.truncate(descriptor, size)
        return mmap.mmap(descriptor, size), descriptor
    from tempfile import TemporaryDirectory  # its imports take a megabyte in each worker

    from charlm.text.store import temporary_space

    with temporary_space():
        path = Path(stack.enter_context(TemporaryDirectory(prefix="charlm-", ignore_cleanup_errors=True)))
        path /= "shared"
        path.write_bytes(bytes(size))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size), str(path)


def map_shared_block(file: int | str, size: int) -> mmap.mmap:
    """Map the block of another process, and close the descriptor."""
    descriptor = file if isinstance(file, int) else os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    block = mmap.mmap(descriptor, size)
    os.close(descriptor)
    return block
