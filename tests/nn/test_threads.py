"""Work that is shared out."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from charlm.nn.threads import share_out


@pytest.mark.parametrize("runners", [1, 2, 3])
def test_every_item_is_worked_on_once(runners: int) -> None:
    done: list[int] = []
    share_out(lambda _, item: done.append(item), range(40), list(range(runners)))  # type: ignore[misc, list-item]
    assert sorted(done) == list(range(40))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_nobody_begins_with_what_is_left(error: type[BaseException]) -> None:
    failed = threading.Event()
    begun: list[int] = []

    def work(runner: Any, item: int) -> None:
        begun.append(item)
        if runner == 0:  # on the thread that called
            failed.set()
            raise error
        failed.wait(5)
        time.sleep(0.001)

    with pytest.raises(error):
        share_out(work, range(1000), [0, 1])  # type: ignore[list-item]
    assert len(begun) < 500
