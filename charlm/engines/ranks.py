"""The rank of this process among those that torchrun, or a user, started, and how the ranks meet."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from charlm.errors import ConfigError, ResourceError

MAX_SECONDS = 600.0
"""Seconds for which a rank waits for the others: each of them reads the text first."""
SILENT_SECONDS = 10.0
"""Seconds after which a rank that waits says so."""
POLL_SECONDS = 0.1
"""Seconds between two looks for the others. A signal ends the wait within this time."""


class Store(Protocol):
    """What ranks need of a `torch.distributed.Store` to meet."""

    def set(self, key: str, value: str, /) -> Any:
        """Set a key for all ranks."""

    def check(self, keys: list[str], /) -> bool:
        """Return whether all keys are set."""


@dataclass(frozen=True)
class Ranks:
    """rank: of this process, 0 to count - 1.  local_rank, local_count: on this machine.

    restarts: how often torchrun has started all of them anew.  elastic: whether torchrun started them.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0
    elastic: bool = False

    @classmethod
    def of_environment(cls) -> Ranks:
        """Return what torchrun sets in the environment; a single rank without it.

        Raises ConfigError if the rank does not exist, or if several ranks have no address to meet at.
        """

        def number(name: str, default: int) -> int:
            value = os.environ.get(name, "")
            return int(value) if value.isdigit() else default

        rank, count = number("RANK", 0), number("WORLD_SIZE", 1)
        if rank >= count:
            raise ConfigError(f"RANK is {rank}, but WORLD_SIZE is {count}; start all ranks with torchrun")
        if count > 1 and not (os.environ.get("MASTER_ADDR") and os.environ.get("MASTER_PORT", "").isdigit()):
            raise ConfigError(
                f"WORLD_SIZE is {count}, but MASTER_ADDR or MASTER_PORT is not set; start all ranks with torchrun"
            )
        return cls(
            rank,
            count,
            number("LOCAL_RANK", 0),
            number("LOCAL_WORLD_SIZE", 1),
            number("TORCHELASTIC_RESTART_COUNT", 0),
            "TORCHELASTIC_RESTART_COUNT" in os.environ,
        )

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port at which the ranks meet."""
        return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])

    def local_slice(self, streams: int) -> slice:
        """Return the streams of this rank; ranks differ by one stream at most."""
        return slice(streams * self.rank // self.world_size, streams * (self.rank + 1) // self.world_size)

    def wait_for_server(self, max_seconds: float = MAX_SECONDS) -> None:
        """Wait until rank 0, or torchrun, serves the store of the ranks.

        Raises ResourceError if it does not within `max_seconds`.
        """

        def missing() -> str:
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError as error:
                return f"the store of the ranks at {self.address[0]}:{self.address[1]} ({error.strerror or error})"
            return ""

        wait_until_none(missing, max_seconds)

    def wait_for_all(self, store: Store, max_seconds: float = MAX_SECONDS) -> None:
        """Wait until all ranks have called this with the same store.

        Raises ResourceError with the missing ranks after `max_seconds`.
        """

        def missing() -> str:
            ranks = [rank for rank in range(self.world_size) if not store.check([f"present.{rank}"])]
            return f"rank {', '.join(map(str, ranks))} of {self.world_size}" if ranks else ""

        store.set(f"present.{self.rank}", "1")
        wait_until_none(missing, max_seconds)


def wait_until_none(missing: Callable[[], str], max_seconds: float) -> None:
    """Wait until `missing` returns an empty string; a signal handler may end the wait by an exception.

    Logs a warning after `SILENT_SECONDS`. Raises ResourceError after `max_seconds`.
    """
    begun, is_silent = time.monotonic(), True
    while what := missing():
        seconds = time.monotonic() - begun
        if seconds >= max_seconds:
            raise ResourceError(f"waited {max_seconds:g} s without success for {what}; start all ranks with torchrun")
        if is_silent and seconds >= SILENT_SECONDS:
            logging.getLogger("charlm").warning("charlm: waiting for %s", what)
            is_silent = False
        time.sleep(POLL_SECONDS)
