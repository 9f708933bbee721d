"""How much memory a run needs, and how much there is: said before training, not met by surprise."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from charlm.config import EngineConfig, TrainConfig
from charlm.engines.shared_memory import micro_batches_of
from charlm.errors import ResourceError
from charlm.machine import free_group_memory
from charlm.nn.base import BaseNetwork
from charlm.nn.tuning import DEFAULT_TUNING
from charlm.optim import find_optimizer
from charlm.text.batches import Batches
from charlm.text.tuning import TextTuning
from charlm.training import divergence

PROCESS = 45e6
"""Bytes of an interpreter with NumPy, about."""
PYTORCH = 300e6
"""Bytes of PyTorch beside that, about."""
VALUE = 4
"""Bytes of a float32."""


def memory_needed(
    network: BaseNetwork, train: TrainConfig, *, steps: int, streams: int, shards: int, turns: int = 1
) -> float:
    """Return how many bytes a run needs at its peak, about: all of its processes together.

    steps, streams: T and B of a window.  shards: processes it is split over.  turns: in which each reads its streams.
    A vector of P parameters is counted for each shard's gradient, twice where there are turns to be added up; for the
    weights, their average and the optimizer's moments twice: at work, and on their way to the disk; and for the best
    model. What is kept for after a divergence is no more than `divergence.IN_MEMORY`.
    """
    parameters = network.size
    vectors = 2 + len(find_optimizer(train.optimizer, 0, "float32").moments)
    gates, layers, hidden = network.cell.gates, network.config.layers, network.config.hidden
    stacks = 2 if network.config.bidirectional else 1
    window = network.window_size(steps, streams) / turns
    gradients = shards * (1 + (turns > 1))
    vectors_held = gradients + 2 * vectors + 2
    logits = max(DEFAULT_TUNING.max_cached_logits, DEFAULT_TUNING.min_head_rows * network.vocabulary)
    head = min(logits, network.vocabulary * steps * streams) * 2 * shards
    dropped = 2 * layers if network.config.recurrent_dropout else 0  # masks, and what they leave
    blocks = (1 + dropped) * stacks * gates * hidden * hidden * shards  # weights as they are multiplied by
    values = parameters * vectors_held + window + head + blocks
    held = TextTuning.max_bytes_in_memory + min(divergence.IN_MEMORY, VALUE * parameters * vectors)
    return shards * PROCESS + held + VALUE * values


def memory_there() -> float | None:
    """Return how many bytes of memory this process may still take, None where the system does not say."""
    limits = [value for value in (_of_machine(), free_group_memory(), _of_process()) if value is not None]
    return min(limits, default=None)


def refuse_what_does_not_fit(needed: float, parameters: int) -> None:
    """Raise ResourceError if a run needs more memory than there is.

    needed: bytes.  parameters: of the network, for the message.
    """
    there = memory_there()
    if there is not None and needed > there:
        raise ResourceError(
            f"training {parameters:,} parameters takes about {as_size(needed)} of memory, and {as_size(there)} are "
            "free here; a smaller --hidden, --layers, --batch, --bptt or --threads needs less"
        )


def as_size(size: float) -> str:
    """Write a number of bytes in a unit that suits it.

    >>> as_size(1.25e9), as_size(61e6)
    ('1.2 GB', '61 MB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _of_machine() -> float | None:
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    with suppress(AttributeError, OSError, ValueError):
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_process() -> float | None:
    """What `ulimit -v` leaves."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return float(most - pages * resource.getpagesize())
    return None


def needed(engine: EngineConfig, network: BaseNetwork, train: TrainConfig, batches: Batches) -> float:
    """Return how many bytes this process and its workers take, about.

    Raises ResourceError if there are not as many.
    """
    steps, streams = batches.steps, batches.local_slice.stop - batches.local_slice.start
    is_torch = engine.name == "torch"
    shards = 1 if is_torch else min(train.threads, streams)
    turns = 1 if is_torch else micro_batches_of(network, steps, -(-streams // shards))
    memory = memory_needed(network, train, steps=steps, streams=streams, shards=shards, turns=turns)
    memory += PYTORCH if is_torch else 0
    refuse_what_does_not_fit(memory, network.size)
    return memory
