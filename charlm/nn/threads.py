"""Work shared out among runners, each on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

    from charlm.nn.runner import Runner

Item = TypeVar("Item")


def share_out(work: Callable[[Runner, Item], None], items: Sequence[Item], runners: Sequence[Runner]) -> None:
    """Call `work` with every item and a runner that is free, the BLAS on one thread each; return when all is done."""
    waiting = iter(items)  # next() on the iterator of a list is one step: no two threads get the same

    def work_on(runner: Runner) -> None:
        for item in waiting:
            work(runner, item)

    busy = runners[: len(items)]
    if len(busy) <= 1:
        work_on(runners[0])
        return
    from concurrent.futures import ThreadPoolExecutor  # here, as one runner does without

    with libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(len(busy) - 1) as threads:
        others = [threads.submit(work_on, runner) for runner in busy[1:]]
        try:
            work_on(busy[0])
        except BaseException:
            for _ in waiting:  # nobody shall begin with what is left
                pass
            raise
        for other in others:
            other.result()  # raises what was raised there


@lru_cache
def libraries() -> ThreadpoolController:
    """Return what sets the threads of NumPy's BLAS; it takes longer to find it than to set them."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
