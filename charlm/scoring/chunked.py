"""One long text as a relay: it is cut into runs, which are read side by side as columns of one batch.

Each column but the first has to begin with a state that is known only when the column before it is done. All
begin at once with a zero state; then those whose start was wrong are read again from where the column before them
has ended, until they meet the states of the first reading. A recurrent network forgets: two states that read
the same characters come together. What is left of the first reading then stands.
A text costs about two readings of a batch instead of one reading of single characters. Where a network does not
forget, the columns are read again to their ends, one after the other, which is the plain reading.

Some units of trained networks remember for tens of thousands of characters what nothing depends on, such as a c of the
LSTM that has grown until tanh(c) is 1 whatever is added. So a column stands, too, if another reading, from another
start, had the same to say of every character in its second half: there, the difference is seen to be of no consequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.kernels.threads import blas_on_one_thread, share_out

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.nn.base import NetworkState

COLUMNS = 32
"""Runs that are read side by side, at most."""
SHORTEST, LONGEST = 2048, 8192
"""Characters of a run, at least and at most; a longer text is several relays, one behind the other."""
LONG = 4 * SHORTEST
"""Characters from which on a text is worth a relay."""
SEGMENT = 256
"""Steps between the states that are kept, and compared."""
ALIKE = 4e-6
"""Difference between states, as a share of 1 + their size, that is no more than the rounding of float32."""
SETTLED = 2e-5
"""Nats by which a character may change between two readings that say the same: about the rounding of a state."""
HOPEFUL = 4
"""Readings in which all columns are read again that seem to need it; from then on, the first of them alone."""


def score_long(
    networks: Sequence[PreparedNetwork], inputs: Ids, ids: Ids, state: NetworkState
) -> tuple[npt.NDArray[np.float64], NetworkState]:
    """Return log p of each of `ids` (N,), in nats, and the state behind them.

    networks: of one network; each works on a thread of its own.  inputs: what is read right before each of them, (N,).
    With several networks the BLAS has one thread for all of the text, so that rounding is the same throughout.
    """
    with blas_on_one_thread if len(networks) > 1 else nullcontext():
        return _score_long(networks, inputs, ids, state)


def _score_long(
    networks: Sequence[PreparedNetwork], inputs: Ids, ids: Ids, state: NetworkState
) -> tuple[npt.NDArray[np.float64], NetworkState]:
    result = np.empty(len(ids))
    done = 0
    while len(ids) - done >= LONG:
        columns = min(COLUMNS, (len(ids) - done) // SHORTEST)
        length = min((len(ids) - done) // columns, LONGEST)
        part = slice(done, done + columns * length)
        relay = _ChunkedScorer(
            inputs[part].reshape(columns, length).T, ids[part].reshape(columns, length).T, networks, state
        )
        result[part] = relay.log_probs()
        state = networks[0].select(relay.ends, slice(columns - 1, columns))
        done = part.stop
    if done < len(ids):
        rest, state = networks[0].score(inputs[done:, None], ids[done:, None], state)
        result[done:] = rest[:, 0]
    return result, state


class _ChunkedScorer:
    """inputs, ids: (T, B), a run in each column; the first begins with `state`."""

    def __init__(self, inputs: Ids, ids: Ids, networks: Sequence[PreparedNetwork], state: NetworkState) -> None:
        self.inputs, self.ids, self.networks = inputs, ids, networks
        steps, columns = ids.shape
        self.segments = [slice(start, start + SEGMENT) for start in range(0, steps, SEGMENT)]
        self.starts = networks[0].zero_state(columns)
        _put(self.starts, np.array([0]), state)
        self.marks = [networks[0].zero_state(columns) for _ in self.segments]  # the states behind each segment
        self.result = np.empty((steps, columns))
        self.are_settled = np.zeros(columns, bool)  # said the same when they were read again to their ends

    @property
    def ends(self) -> NetworkState:
        """The states at the ends of the columns."""
        return self.marks[-1]

    def log_probs(self) -> Array:
        """Return log p of the whole text, (T * B,)."""
        wrong: Ids = np.arange(self.ids.shape[1])
        for reading in count():
            chosen = wrong if reading < HOPEFUL else wrong[:1]
            changed = self.read_all(chosen, again=reading > 0)
            wrong = np.union1d(np.setdiff1d(wrong, chosen), self.pass_on(changed))
            if not wrong.size:
                break
        return self.result.T.reshape(-1)

    def read_all(self, columns: Ids, *, again: bool) -> Ids:
        """Read columns, shared out among the networks; return those that were read to their ends."""
        changed: list[Ids] = []

        def work(runner: PreparedNetwork, part: Ids) -> None:
            changed.append(self.read(runner, part, again=again))

        share_out(work, np.array_split(columns, min(len(self.networks), len(columns))), self.networks)
        return np.sort(np.concatenate(changed))

    def read(self, runner: PreparedNetwork, columns: Ids, *, again: bool) -> Ids:
        """Read columns from their starts; again: until they meet the states that they had.

        Returns those that were read to their ends.
        """
        state = runner.select(self.starts, columns)
        self.are_settled[columns] = False
        moved = np.zeros(len(columns))  # by how much the second half has changed at most
        for segment, mark in zip(self.segments, self.marks, strict=True):
            log_probs, state = runner.score(self.inputs[segment][:, columns], self.ids[segment][:, columns], state)
            if again and segment.start >= len(self.ids) // 2:
                np.maximum(moved, np.abs(log_probs - self.result[segment, columns]).max(axis=0), out=moved)
            self.result[segment, columns] = log_probs
            if again:
                apart = ~_are_close(runner.select(mark, columns), state)
                if not apart.all():
                    columns, moved = columns[apart], moved[apart]
                    state = runner.select(state, np.flatnonzero(apart))
                if not columns.size:
                    break
            _put(mark, columns, state)
        self.are_settled[columns] = again & (moved <= SETTLED)
        return columns

    def pass_on(self, columns: Ids) -> Ids:
        """Hand the ends of columns on as starts; return the columns that began with something else.

        But for those that are settled: another start like theirs is of no consequence.
        """
        followers = columns[columns < self.ids.shape[1] - 1] + 1
        followers = followers[~self.are_settled[followers]]
        ends = self.networks[0].select(self.ends, followers - 1)
        wrong: Ids = followers[~_are_close(self.networks[0].select(self.starts, followers), ends)]
        _put(self.starts, followers, ends)
        return wrong


def _put(stored: NetworkState, columns: Ids, state: NetworkState) -> None:
    for layer, given in zip(stored, state, strict=True):
        for array, values in zip(layer, given, strict=True):
            array[columns] = values


def _are_close(a: NetworkState, b: NetworkState) -> npt.NDArray[np.bool_]:
    """For each column, whether two states differ by rounding at most."""
    pairs = ((x, y) for a_layer, b_layer in zip(a, b, strict=True) for x, y in zip(a_layer, b_layer, strict=True))
    alike: npt.NDArray[np.bool_] = np.logical_and.reduce(
        [(np.abs(x - y) <= ALIKE * (1 + np.abs(y))).all(axis=1) for x, y in pairs]
    )
    return alike
