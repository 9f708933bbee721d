"""Chunked scoring: read the chunks of one long text in parallel, as the columns of one batch.

A recurrent network is a recurrence over time: the state at the start of a chunk is the state at the end of the chunk
before. Chunked scoring solves it in parallel over time by a fixed-point (Jacobi) iteration over these initial states:

1. The first sweep reads all chunks at once, each from a zero state, and the first one from the given state.
2. The end state of each chunk becomes the initial state of the next chunk. A chunk whose initial state has changed is
   stale. The next sweep reads all stale chunks again, until no chunk is stale.

A trained network forgets: from different initial states, the same characters lead to the same state up to rounding.
So a chunk is read again only up to the first checkpoint at which the new state agrees with the state of the previous
sweep; the later results stay valid. A text then costs about two passes as a batch instead of one pass character by
character. A network that does not forget needs one sweep per chunk, which equals sequential scoring.

Some units of trained networks keep values for a long time that no output depends on, for example a cell state of the
LSTM that grows until tanh(c) is 1. Therefore a new initial state does not make a chunk stale if its last two sweeps,
from different initial states, gave the same log-probabilities in its second half.

References
----------
Song, Meng, Liao & Ermon 2021, Accelerating feedforward computation via parallel nonlinear equation solving,
arXiv:2002.03629 (Jacobi iteration over the layers or the steps of a network).
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from itertools import count

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids, Mask
from charlm.inference.interface import CausalModel
from charlm.kernels.threads import blas_on_one_thread, parallel_map
from charlm.nn.base import NetworkState
from charlm.scoring.text_batch import Indices, assign
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning


def score_chunked(
    network: CausalModel,
    inputs: Ids,
    targets: Ids,
    state: NetworkState,
    threads: int = 1,
    tuning: ScoringTuning = DEFAULT_TUNING,
) -> tuple[npt.NDArray[np.float64], NetworkState]:
    """Score one text of any length.

    Parameters
    ----------
    inputs : (N,) the id before each target.
    targets : (N,) ids to predict.
    state : before the first input, for one stream.
    threads : threads among which the chunks are split. With several, the BLAS has one thread for the whole text, so
        that its rounding is the same throughout.

    Returns
    -------
    log_probs : (N,) in nats.
    state : after the last input.
    """
    log_probs = np.empty(targets.size)
    done = 0
    with blas_on_one_thread if threads > 1 else nullcontext():
        while targets.size - done >= tuning.min_chunked_characters:
            chunks = min(tuning.max_chunks, (targets.size - done) // tuning.min_chunk_characters)
            length = min((targets.size - done) // chunks, tuning.max_chunk_characters)
            block = slice(done, done + chunks * length)
            columns = inputs[block].reshape(chunks, length).T, targets[block].reshape(chunks, length).T
            iteration = _FixedPointIteration(network, *columns, state, tuning)
            log_probs[block], state = iteration.solve(threads)
            done = block.stop
        rest, state = network.score(inputs[done:, None], targets[done:, None], state)
    log_probs[done:] = rest[:, 0]
    return log_probs, state


class _FixedPointIteration:
    """Read the chunks of a block until their initial states no longer change.

    inputs, targets: (T, B), one chunk per column.  state: before the first input, for one stream.
    """

    def __init__(
        self, network: CausalModel, inputs: Ids, targets: Ids, state: NetworkState, tuning: ScoringTuning
    ) -> None:
        self.network, self.inputs, self.targets, self.tuning = network, inputs, targets, tuning
        steps, self.chunks = targets.shape
        interval = tuning.checkpoint_interval
        self.segments = [slice(start, start + interval) for start in range(0, steps, interval)]
        self.initial_states = network.zero_state(self.chunks)
        assign(self.initial_states, np.array([0]), state)
        self.checkpoints = [network.zero_state(self.chunks) for _ in self.segments]  # the states after each segment
        self.log_probs = np.empty((steps, self.chunks))
        self.is_insensitive = np.zeros(self.chunks, bool)  # chunks with the same second half in two sweeps

    def solve(self, threads: int) -> tuple[Array, NetworkState]:
        """Return the log-probabilities of the block, (T * B,), and the state after it."""
        stale: Indices = np.arange(self.chunks)
        for sweep in count():
            chosen = stale if sweep < self.tuning.max_parallel_sweeps else stale[:1]
            parts = np.array_split(chosen, min(threads, chosen.size))
            completed = parallel_map(partial(self._read, is_first=sweep == 0), parts, threads)
            stale = np.union1d(np.setdiff1d(stale, chosen), self._propagate(np.concatenate(completed)))
            if not stale.size:
                break
        return self.log_probs.T.reshape(-1), self.network.select(self.checkpoints[-1], slice(self.chunks - 1, None))

    def _read(self, chunks: Indices, *, is_first: bool) -> Indices:
        """Read chunks from their initial states; return those that were read to their ends.

        Except in the first sweep, reading a chunk ends at the checkpoint where its state agrees with that of the
        previous sweep.
        """
        state = self.network.select(self.initial_states, chunks)
        self.is_insensitive[chunks] = False
        change = np.zeros(chunks.size)  # of a log-probability in the second half, at most
        for segment, checkpoint in zip(self.segments, self.checkpoints, strict=True):
            inputs, targets = self.inputs[segment][:, chunks], self.targets[segment][:, chunks]
            log_probs, state = self.network.score(inputs, targets, state)
            if not is_first and segment.start >= len(self.targets) // 2:
                np.maximum(change, np.abs(log_probs - self.log_probs[segment, chunks]).max(axis=0), out=change)
            self.log_probs[segment, chunks] = log_probs
            if not is_first:
                differs = ~self._are_close(self.network.select(checkpoint, chunks), state)
                chunks, change = chunks[differs], change[differs]
                state = self.network.select(state, np.flatnonzero(differs))
                if not chunks.size:
                    break
            assign(checkpoint, chunks, state)
        self.is_insensitive[chunks] = (not is_first) & (change <= self.tuning.log_prob_tolerance)
        return chunks

    def _propagate(self, completed: Indices) -> Indices:
        """Make the end states of chunks the initial states of the next chunks; return the chunks that became stale.

        A chunk is not stale if its initial state has changed by no more than rounding, or if it is insensitive to its
        initial state.
        """
        following = np.sort(completed[completed < self.chunks - 1]) + 1
        following = following[~self.is_insensitive[following]]
        end_states = self.network.select(self.checkpoints[-1], following - 1)
        stale: Indices = following[~self._are_close(self.network.select(self.initial_states, following), end_states)]
        assign(self.initial_states, following, end_states)
        return stale

    def _are_close(self, state: NetworkState, other: NetworkState) -> Mask:
        """Return for each stream whether two states differ by no more than rounding."""
        pairs = [pair for layers in zip(state, other, strict=True) for pair in zip(*layers, strict=True)]
        tolerance = self.tuning.state_tolerance
        is_close: Mask = np.logical_and.reduce(
            [(np.abs(a - b) <= tolerance * (1 + np.abs(b))).all(axis=1) for a, b in pairs]
        )
        return is_close
