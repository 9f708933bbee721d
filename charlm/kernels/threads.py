"""Map a function over threads, and set the number of threads of NumPy's BLAS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock, local
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Apply a function to every item on several threads, the BLAS on one thread in each.

    Parameters
    ----------
    function : takes an item; several threads call it at the same time.
    items : arguments of the calls.
    threads : number of threads, at most; with one thread the caller's thread makes all calls.

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
    """A context in which NumPy's BLAS has one thread, for whoever calls it.

    Several threads may be inside at a time, and leave in any order. Most libraries have one number of threads for the
    whole process: the first thread sets it, and the last one restores it. Some have a number for each calling thread
    (MKL, OpenMP): each thread sets and restores its own.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._at_first: list[int] = []  # threads of each library before the first thread entered
        self._of_each_thread: set[int] = set()  # indices of the libraries that have a number for each
        self._own = local()

    def __enter__(self) -> None:
        with self._lock:
            counts = [library.num_threads for library in blas_libraries()]
            if self._inside:  # one number for the process would be 1 by now
                self._of_each_thread.update(k for k, count in enumerate(counts) if count != 1)
            else:
                self._at_first = counts
                self._of_each_thread.clear()
            self._own.__dict__.setdefault("counts", []).append(counts)
            self._inside += 1
            for library in blas_libraries():
                set_threads(library, 1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            own = self._own.counts.pop()
            self._inside -= 1
            for k, library in enumerate(blas_libraries()):
                if k in self._of_each_thread:
                    set_threads(library, own[k])
                elif not self._inside:
                    set_threads(library, self._at_first[k])


blas_on_one_thread = OneThread()
"""The one context of that kind in a process."""


def limit_blas(threads: int) -> None:
    """Let NumPy's BLAS use `threads` threads at most, from now on."""
    for library in blas_libraries():
        if library.num_threads > threads:
            set_threads(library, threads)


def set_threads(library: Any, count: int) -> None:
    """Set the number of threads of a BLAS.

    From version 3.8 on threadpoolctl ignores all threads but the first that set the number of an OpenBLAS. This one
    claims the library, and leaves it to whoever is next.
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
    """Return what sets the threads of NumPy's BLAS; it takes longer to find it than to set them."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
