"""The memory that a run needs and the memory that is free, compared before training."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from charlm.config import EngineConfig, TrainConfig
from charlm.engines.create import uses_gpu
from charlm.engines.process_group import ProcessGroup
from charlm.engines.shared_memory import micro_batches_of
from charlm.errors import ResourceError
from charlm.machine import free_group_memory
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import stack_names
from charlm.nn.tuning import DEFAULT_TUNING as NETWORK_TUNING
from charlm.optim import find_optimizer
from charlm.text.batches import Batches
from charlm.text.tuning import TextTuning
from charlm.training.tuning import DEFAULT_TUNING

VALUE_BYTES = 4
"""Bytes of a float32."""


def memory_needed(
    network: BaseNetwork, train: TrainConfig, *, steps: int, streams: int, shards: int, micro_batches: int = 1
) -> float:
    """Estimate the peak memory of a run, all of its processes together.

    Parameters
    ----------
    network : BaseNetwork
        The network to train.
    train : TrainConfig
        Optimizer of the run.
    steps, streams : int
        Shape of a window, T and B.
    shards : int
        Number of processes that split the streams of a window.
    micro_batches : int
        Micro-batches into which each process splits its streams.

    Returns
    -------
    float
        Bytes. A vector of P parameters is counted once for each gradient, twice with micro-batches; twice for the
        weights, their average and the moments of the optimizer (in use, and on the way to the disk); and twice for
        the best model. A snapshot takes at most `max_snapshot_bytes`.
    """
    parameters = network.size
    vectors = state_vectors(train)
    gates, layers, hidden = network.cell.gates, network.config.layers, network.config.hidden
    window = network.window_size(steps, streams) / micro_batches
    gradients = shards * (1 + (micro_batches > 1))
    logits = max(NETWORK_TUNING.max_cached_logits, NETWORK_TUNING.min_head_rows * network.outputs)
    head = min(logits, network.outputs * steps * streams) * 2 * shards
    dropout = 2 * layers if network.config.recurrent_dropout else 0  # masks and masked weights
    stacks = len(stack_names(network.config))
    packed = (1 + dropout) * stacks * gates * hidden * hidden * shards  # recurrent weights for the products
    values = parameters * (gradients + 2 * vectors + 2) + window + head + packed
    snapshot = min(DEFAULT_TUNING.max_snapshot_bytes, VALUE_BYTES * parameters * vectors)
    return shards * DEFAULT_TUNING.process_bytes + TextTuning.max_bytes_in_memory + snapshot + VALUE_BYTES * values


def gpu_memory_needed(network: BaseNetwork, train: TrainConfig, *, steps: int, streams: int) -> float:
    """Estimate the bytes of a GPU that a run needs, all members of its ensemble together; no GPU has measured it.

    A vector of P parameters is counted once for the gradient, and twice for the weights, their average and the moments
    of the optimizer (in use, and in a snapshot). Logits are counted three times: with their softmax and their gradient.
    """
    vectors = 1 + 2 * state_vectors(train)
    values = network.size * vectors + network.window_size(steps, streams) + 3 * network.outputs * steps * streams
    return train.ensemble * (DEFAULT_TUNING.gpu_bytes + VALUE_BYTES * values)


def state_vectors(train: TrainConfig) -> int:
    """Return how many vectors of P values the weights, their average and the moments of the optimizer are."""
    return 2 + len(find_optimizer(train.optimizer, 0, "float32").moments)


def free_memory() -> float | None:
    """Return how many bytes of memory this process may still allocate; None if the system does not report it."""
    limits = [value for value in (_of_machine(), free_group_memory(), _of_process()) if value is not None]
    return min(limits, default=None)


def check_memory(needed: float, parameters: int) -> None:
    """Compare the memory that a run needs with the free memory.

    Parameters
    ----------
    needed : float
        Bytes that the run needs.
    parameters : int
        Size of the network, for the message.

    Raises
    ------
    ResourceError
        If the free memory does not suffice.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise ResourceError(
            f"training {parameters:,} parameters takes about {as_size(needed)} of memory, and {as_size(free)} "
            "are free here; a smaller `hidden`, `layers`, `batch`, `bptt`, `threads` or `ensemble` needs less"
        )


def as_size(size: float) -> str:
    """Format a number of bytes.

    >>> as_size(1.25e9), as_size(61e6)
    ('1.2 GB', '61 MB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _of_machine() -> float | None:
    """Return the free bytes of the machine."""
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    with suppress(AttributeError, OSError, ValueError):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_process() -> float | None:
    """Return the bytes that `ulimit -v` leaves to this process."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return float(limit - pages * resource.getpagesize())
    return None


def run_memory(engine: EngineConfig, network: BaseNetwork, train: TrainConfig, batches: Batches) -> float:
    """Estimate the bytes that this process and its workers need."""
    steps, streams = batches.steps, batches.local_slice.stop - batches.local_slice.start
    if uses_gpu(engine, ProcessGroup()):
        steps, streams = 0, 0  # the windows are in the memory of the GPU
    is_torch = engine.name == "torch"
    shards = 1 if is_torch else min(-(-train.threads // train.ensemble), streams)
    micro_batches = 1 if is_torch else micro_batches_of(network, steps, -(-streams // shards))
    memory = memory_needed(network, train, steps=steps, streams=streams, shards=shards, micro_batches=micro_batches)
    if is_torch:
        memory += DEFAULT_TUNING.pytorch_bytes + VALUE_BYTES * network.size * state_vectors(train)  # a snapshot
    if train.ensemble > 1:  # a process for each member; the main process shares the text with them
        memory = train.ensemble * memory + DEFAULT_TUNING.process_bytes + batches.corpus.ids.nbytes
    return memory
