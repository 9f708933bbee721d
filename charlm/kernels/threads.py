"""Work shared out among threads, and the threads of NumPy's BLAS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock, local
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


Item = TypeVar("Item")
Reader = TypeVar("Reader")


def share_out(work: Callable[[Reader, Item], None], items: Sequence[Item], networks: Sequence[Reader]) -> None:
    """Call `work` with every item and a runner that is free, the BLAS on one thread each; return when all is done."""
    waiting = iter(items)  # next() on the iterator of a list is one step: no two threads get the same

    def work_on(runner: Reader) -> None:
        for item in waiting:
            work(runner, item)

    def work_on_one_thread(runner: Reader) -> None:
        with blas_on_one_thread:
            work_on(runner)

    busy = networks[: len(items)]
    if len(busy) <= 1:
        work_on(networks[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # here, as one runner does without

    with blas_on_one_thread, ThreadPoolExecutor(len(busy) - 1) as threads:
        others = [threads.submit(work_on_one_thread, runner) for runner in busy[1:]]
        try:
            work_on(busy[0])
        except BaseException:
            for _ in waiting:  # nobody shall begin with what is left
                pass
            raise
        for other in others:
            other.result()  # raises what was raised there


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
