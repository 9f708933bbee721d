"""SharedPrefixes that texts share, such as their first characters: each is read once, whoever goes on from it.

Texts are read side by side, a character of each at a time. Those that are alike so far are one row of the batch;
as soon as too few are alike to be worth it, each has to go on by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.inference.stepper import Stepper

Places = npt.NDArray[np.intp]

FEWEST_SPARED = 64
"""Rows that a step has to spare, at least,"""
SHARE_SPARED = 0.1
"""and as a share of the texts that have not ended."""


class SharedPrefixes:
    """Where texts stand, and which of them have been alike so far.

    ids: what is predicted, (N,), of all texts.  starts, counts: the places of each text in it.
    texts: numbers of those that are read.  last, state: what is read first, and the state before it.  vocabulary: V.

    done: characters read of each.  rows: the row of each text that has not ended; a row is a beginning.
    """

    def __init__(
        self, ids: Ids, starts: Places, counts: Places, texts: Places, last: int, state: NetworkState, vocabulary: int
    ) -> None:
        self.done = 0
        self._state = state
        self._parents: Places = np.zeros(1, np.intp)  # the row of `_state` that each row goes on from
        self.rows = np.zeros(len(counts), np.intp)
        self._ids, self._starts, self._counts = ids, starts, counts
        self._rooms: list[NetworkState] = []
        self._going = texts  # those that have not ended, by row
        self._last: Ids = np.array([last], np.intp)  # what each row reads next
        self._vocabulary = vocabulary

    @property
    def are_shared(self) -> bool:
        """Whether enough of the texts are alike."""
        spared = self._going.size - self._last.size
        return spared >= max(FEWEST_SPARED, SHARE_SPARED * self._going.size)

    def state_of(self, runner: PreparedNetwork, texts: Places) -> NetworkState:
        """Return the state of texts that have not ended, in their order."""
        return runner.select(self._state, self._parents[self.rows[texts]])

    def move(self, walk: Stepper, texts: Places) -> None:
        """Move streams to where texts are that have not ended."""
        walk.move_to(self._state, self._parents[self.rows[texts]])

    def _room_for_state(self, rows: int) -> NetworkState:
        """Return arrays for a state, and have those of the state before it used for the next."""
        if not self._rooms:  # for as many rows as there can be; what is not written takes no memory
            layers, arrays, (_, hidden) = len(self._state), len(self._state[0]), self._state[0][0].shape
            # as one: the system hands out a large piece of memory much faster than many small ones
            both = np.empty((2, layers, arrays, len(self._going), hidden), self._state[0][0].dtype)
            self._rooms = [[tuple(layer) for layer in room] for room in both]
        self._rooms.reverse()
        return [tuple(array[:rows] for array in layer) for layer in self._rooms[0]]

    def read_on(self, runner: PreparedNetwork, result: npt.NDArray[np.float64]) -> None:
        """Read a character of each text that has not ended; fill its place in `result`, (N,), with log p in nats."""
        going, rows = self._going, self.rows[self._going]
        places = self._starts[going] + self.done
        wanted = self._ids[places]
        size = self._last.size
        state = self._room_for_state(size)
        at_once = -(-size // -(-size // runner.rows_at_once))  # rows of a step, the same in each
        walk = runner.stepper(runner.zero_state(at_once))
        for start in range(0, size, at_once):
            start = min(start, size - at_once)  # the last step begins with what the one before has read
            part = slice(start, start + at_once)
            walk.move_to(self._state, self._parents[part])
            logits = walk.read(self._last[part])
            for layer, moved in zip(state, walk.state, strict=True):
                for array, values in zip(layer, moved, strict=True):
                    array[part] = values
            mine = slice(*np.searchsorted(rows, (part.start, part.stop)))
            result[places[mine]] = gather_log_probs(logits, wanted[mine], rows[mine] - part.start)
        self.done += 1
        goes_on = self._counts[going] > self.done
        going, read = going[goes_on], rows[goes_on] * self._vocabulary + wanted[goes_on]
        order = np.argsort(read, kind="stable")
        going, read = going[order], read[order]
        is_other = np.diff(read, prepend=-1) != 0
        self._parents, self._last = np.divmod(read[is_other], self._vocabulary)
        self._state = state
        self.rows[going] = np.cumsum(is_other) - 1
        self._going = going
