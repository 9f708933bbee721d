"""The place of this process among those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """rank: of this process, 0 to count - 1.  local_rank, local_count: on this machine.

    restarts: how often torchrun has started all of them anew.  elastic: whether torchrun started them.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    restarts: int = 0
    elastic: bool = False

    @classmethod
    def of_environment(cls) -> Ranks:
        """Return what torchrun tells in the environment; a single rank without it."""

        def number(name: str, default: int) -> int:
            value = os.environ.get(name, "")
            return int(value) if value.isdigit() else default

        return cls(
            number("RANK", 0),
            number("WORLD_SIZE", 1),
            number("LOCAL_RANK", 0),
            number("LOCAL_WORLD_SIZE", 1),
            number("TORCHELASTIC_RESTART_COUNT", 0),
            "TORCHELASTIC_RESTART_COUNT" in os.environ,
        )

    @property
    def is_leader(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def part(self, streams: int) -> slice:
        """Return the streams of this rank; ranks differ by one stream at most."""
        return slice(streams * self.rank // self.count, streams * (self.rank + 1) // self.count)
