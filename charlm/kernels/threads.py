"""Map a function over threads, and set the number of threads of NumPy's BLAS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock, local
from typing import TYPE_CHECKING, Any, TypeVar

from charlm.checks import check_value, integer_rule
from charlm.machine import usable_cores

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

CORES = integer_rule(0)._replace(expected="0 (all cores) or more")

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores_for(threads: int | None) -> int:
    """Return the number of cores to use: `threads`, or all that this process may use for 0 or None."""
    if threads is not None:
        check_value("threads", threads, CORES)
    return threads or usable_cores()


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Apply a function to every item on several threads, the BLAS on one thread in each.

    Parameters
    ----------
    function : callable
        Takes an item; several threads call it at the same time.
    items : sequence
    threads : int
        Maximum number of threads; with 1 the caller's thread makes all calls.

    Returns
    -------
    list
        The results, in the order of the items.

    Raises
    ------
    BaseException
        The first exception of a call, in the order of the items; calls that have not begun are cancelled.
    """
    if min(threads, len(items)) <= 1:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor  # imported here, because one thread does not need it

    def call(item: Item) -> Result:
        with blas_on_one_thread:
            return function(item)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, items))


class OneThread:
    """A context in which NumPy's BLAS uses one thread.

    Several threads may be inside at the same time and leave in any order. Most libraries have one thread count per
    process: the first thread to enter sets it, and the last one to leave restores it. Some have a count per calling
    thread (MKL, OpenMP): each thread sets and restores its own.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._initial_counts: list[int] = []  # thread count of each library before the first thread entered
        self._per_thread: set[int] = set()  # indices of the libraries with a count per calling thread
        self._own = local()

    def __enter__(self) -> None:
        with self._lock:
            counts = [library.num_threads for library in blas_libraries()]
            if self._inside:  # a count per process is 1 now
                self._per_thread.update(k for k, count in enumerate(counts) if count != 1)
            else:
                self._initial_counts = counts
                self._per_thread.clear()
            self._own.__dict__.setdefault("counts", []).append(counts)
            self._inside += 1
            for library in blas_libraries():
                set_threads(library, 1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            own = self._own.counts.pop()
            self._inside -= 1
            for k, library in enumerate(blas_libraries()):
                if k in self._per_thread:
                    set_threads(library, own[k])
                elif not self._inside:
                    set_threads(library, self._initial_counts[k])


blas_on_one_thread = OneThread()
"""The only instance: its counts are those of the process."""


def limit_blas(threads: int) -> None:
    """Limit NumPy's BLAS to `threads` threads for the rest of the process; it keeps a lower count."""
    for library in blas_libraries():
        if library.num_threads > threads:
            set_threads(library, threads)


def set_threads(library: Any, count: int) -> None:
    """Set the thread count of a BLAS from any thread.

    From version 3.8 threadpoolctl accepts the count of an OpenBLAS from one controlling thread only. This function
    releases that control before and after.
    """
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)


def blas_libraries() -> list[Any]:
    """Return the controllers of NumPy's BLAS."""
    return [library for library in libraries().lib_controllers if library.user_api == "blas"]


@lru_cache
def libraries() -> ThreadpoolController:
    """Return the controllers of all thread pools, which take longer to find than to set."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
