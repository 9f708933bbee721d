"""Work shared out among runners, each on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
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
    from concurrent.futures import ThreadPoolExecutor  # here, as one runner needs neither

    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(len(busy)) as threads:
        for done in [threads.submit(work_on, runner) for runner in busy]:
            done.result()  # raises what was raised there
