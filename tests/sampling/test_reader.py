"""Reading on by whichever way is faster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.sampling import reader
from charlm.sampling.reader import STEPS, TURNS, Reader


class Way:
    """A walk that takes as long as it is told, by a clock of its own."""

    def __init__(self, name: str, seconds: float, read: list[str], other: Way | None = None) -> None:
        self.name, self.seconds, self.read_by, self.other = name, seconds, read, other

    def on_all_cores(self) -> Way | None:
        return self.other

    def read(self, ids: np.ndarray) -> np.ndarray:
        self.read_by.append(self.name)
        CLOCK[0] += self.seconds
        return ids


CLOCK = [0.0]


@pytest.mark.parametrize(("on_all", "faster"), [(2.0, "one"), (0.5, "all")])
def test_both_ways_are_tried_and_the_faster_one_stays(
    on_all: float, faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for the walks that come after, of streams that have not ended."""
    monkeypatch.setattr(reader, "perf_counter", lambda: CLOCK[0])
    read: list[str] = []
    walk: Any = Way("one", 1.0, read, Way("all", on_all, read))
    reads = Reader(may_take_all_cores=True)
    for _ in range(2):
        reads.go_on_with(walk)
        for k in range(STEPS * TURNS + 3):
            assert reads.read(np.array([k])) == [k]
    tried = (["one"] * STEPS + ["all"] * STEPS) * TURNS
    assert read[: len(tried)] == tried
    assert read[len(tried) :] == [faster] * 6


def test_one_core_is_all_there_is() -> None:
    read: list[str] = []
    walk: Any = Way("one", 1.0, read)
    reads = Reader(may_take_all_cores=False)
    reads.go_on_with(walk)
    for k in range(3 * STEPS):
        reads.read(np.array([k]))
    assert read == ["one"] * 3 * STEPS
