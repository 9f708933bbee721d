"""One way to read on, or the faster of two: on one core, or by products that OpenBLAS spreads over all of them.

Which that is depends on the machine, and on the minute: how soon another core is at hand, and how fast it hands over
what it has computed. So both are tried, on the steps that are to be done anyway: the numbers are the same.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlm.arrays import Array, Ids
    from charlm.inference.stepper import Stepper

STEPS = 8
"""Steps of one way before it is the other's turn,"""
TURNS = 2
"""and the turns of each."""


class Reader:
    """Reads on by a walk.

    may_take_all_cores: whether it may do so by all cores, if that is faster.
    """

    def __init__(self, may_take_all_cores: bool) -> None:
        self._ways = [False, True] if may_take_all_cores else [False]  # by all cores?
        self._walks: list[Stepper] = []
        self._seconds: list[list[float]] = [[], []]

    def go_on_with(self, walk: Stepper) -> None:
        """Read on from where this walk stands."""
        self._walks = [walk.on_all_cores() if way else walk for way in self._ways]

    def read(self, ids: Ids) -> Array:
        """Do as `Stepper.read` does."""
        if len(self._walks) == 1:
            return self._walks[0].read(ids)
        turn = sum(map(len, self._seconds)) // STEPS % 2
        begun = perf_counter()
        logits = self._walks[turn].read(ids)
        self._seconds[turn].append(perf_counter() - begun)
        if len(self._seconds[1]) == STEPS * TURNS:
            on_one, on_all = map(median, self._seconds)
            faster = int(on_all < on_one)
            self._ways, self._walks = [self._ways[faster]], [self._walks[faster]]
        return logits
