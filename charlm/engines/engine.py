"""What the trainer asks of an engine. `training.parallel.NumpyEngine` is the one on NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, TypeVar

from charlm.arrays import Array, Ids
from charlm.nn.base import NetworkState
from charlm.nn.layout import Parameters

Item = TypeVar("Item")
Result = TypeVar("Result")
WORTH_SHARING = 400_000
"""Parameters from which on an update is split over threads."""


def parts_of(size: int, threads: int) -> list[slice]:
    """Return a vector of `size` parameters cut into a part for each thread, or whole where that is not worth it."""
    count = threads if size >= WORTH_SHARING else 1
    return [slice(size * k // count, size * (k + 1) // count) for k in range(count)]


class Engine(Protocol):
    """Computes losses and gradients; may be one of several processes (ranks) that train one network together.

    params: what is trained, the same on all ranks.  grads: the first is the mean gradient of the last window, (P,).
    threads: that this process may use.  characters: targets that counted in the last window, on all ranks.
    """

    params: Parameters
    grads: list[Array]
    threads: int
    characters: float

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is held."""

    @property
    def state(self) -> NetworkState:
        """The carried state of all streams, (B, H) each; all ranks must ask together."""

    @state.setter
    def state(self, state: NetworkState) -> None: ...

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Back-propagate through this rank's streams of a window; returns the mean loss on all, in nats."""

    def local_slice(self, count: int) -> slice:
        """Return which of `count` streams are this rank's."""

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return the greatest of each value on all ranks: what they decide by, they decide alike."""

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Return the sum of each value over all ranks."""

    def release(self) -> None:
        """Give buffers back for a while."""

    def parameter_parts(self) -> list[slice]:
        """Return the flat vector cut into a part for each thread."""

    def parallel_map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Call `do` with every item on threads, and return the results in the order of the items."""
