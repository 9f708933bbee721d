"""The processes (ranks) that train one network together, and how they wait for each other."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from charlm.arrays import split_evenly
from charlm.engines.tuning import EngineTuning
from charlm.errors import ConfigError, ResourceError


@dataclass(frozen=True)
class ProcessGroup:
    """A group of one process, and the interface of larger groups; use as a context around every `all_reduce`.

    Attributes
    ----------
    rank : int
        Index of this process in the group, 0 to `world_size` - 1.
    world_size : int
        Number of processes.
    local_rank, local_world_size : int
        The same among the processes of this machine.
    restarts : int
        Number of times that torchrun has restarted the group.
    is_elastic : bool
        Whether torchrun started the group, and may restart it.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    restarts: int = 0
    is_elastic: bool = False

    @property
    def is_main_process(self) -> bool:
        """Whether this process prints and writes files."""
        return self.rank == 0

    def __enter__(self) -> ProcessGroup:
        """Join the group."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Leave the group."""

    def local_slice(self, streams: int) -> slice:
        """Return which of `streams` streams this process reads; ranks differ by at most one stream."""
        return split_evenly(0, streams, self.world_size)[self.rank]

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes; every process must call this together."""
        return self._all_reduce(values, "SUM")

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return the maximum of each value over all processes; every process must call this together."""
        return self._all_reduce(values, "MAX")

    def _all_reduce(self, values: Sequence[float], operation: str) -> list[float]:
        return list(values)


ALONE = ProcessGroup()
"""A group of one process."""


def read_environment() -> dict[str, Any]:
    """Return the fields of `ProcessGroup` that torchrun sets in the environment.

    Raises
    ------
    ConfigError
        If the rank is not below the world size, or several ranks have no address of their store.
    """

    def number(name: str, default: int) -> int:
        value = os.environ.get(name, "")
        return int(value) if value.isdigit() else default

    rank, world_size = number("RANK", 0), number("WORLD_SIZE", 1)
    if rank >= world_size:
        raise ConfigError(f"RANK is {rank}, but WORLD_SIZE is {world_size}; start all ranks with torchrun")
    if world_size > 1 and not (os.environ.get("MASTER_ADDR") and os.environ.get("MASTER_PORT", "").isdigit()):
        raise ConfigError(
            f"WORLD_SIZE is {world_size}, but MASTER_ADDR or MASTER_PORT is not set; start all ranks with torchrun"
        )
    return {
        "rank": rank,
        "world_size": world_size,
        "local_rank": number("LOCAL_RANK", 0),
        "local_world_size": number("LOCAL_WORLD_SIZE", 1),
        "restarts": number("TORCHELASTIC_RESTART_COUNT", 0),
        "is_elastic": "TORCHELASTIC_RESTART_COUNT" in os.environ,
    }


def wait_for_server(host: str, port: int, tuning: EngineTuning) -> None:
    """Wait until the store of the ranks accepts connections.

    Raises
    ------
    ResourceError
        If it does not within `tuning.max_wait_seconds`.
    """

    def missing() -> str:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError as error:
            return f"the store of the ranks at {host}:{port} ({error.strerror or error})"
        return ""

    wait_until_none(missing, tuning)


def wait_for_all(store: Any, rank: int, world_size: int, tuning: EngineTuning) -> None:
    """Wait until all ranks have called this function with the same `torch.distributed.Store`.

    Raises
    ------
    ResourceError
        If ranks are missing after `tuning.max_wait_seconds`; the message names them.
    """

    def missing() -> str:
        ranks = [other for other in range(world_size) if not store.check([f"present.{other}"])]
        return f"rank {', '.join(map(str, ranks))} of {world_size}" if ranks else ""

    store.set(f"present.{rank}", "1")
    wait_until_none(missing, tuning)


def wait_until_none(missing: Callable[[], str], tuning: EngineTuning) -> None:
    """Poll until `missing` returns an empty string, log a warning after a while, and raise ResourceError at the end.

    The waits are short sleeps, so that a signal handler can end them by an exception.
    """
    start, is_silent = time.monotonic(), True
    while what := missing():
        seconds = time.monotonic() - start
        if seconds >= tuning.max_wait_seconds:
            raise ResourceError(
                f"waited {tuning.max_wait_seconds:g} s without success for {what}; start all ranks with torchrun"
            )
        if is_silent and seconds >= tuning.silent_wait_seconds:
            logging.getLogger("charlm").warning("charlm: waiting for %s", what)
            is_silent = False
        time.sleep(tuning.wait_poll_seconds)
