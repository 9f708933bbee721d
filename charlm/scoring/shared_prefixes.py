"""Read each prefix that several texts share once.

The texts are sorted, so that texts with a common prefix are neighbours. In step t, each distinct prefix of t ids is one
row of the batch, however many texts begin with it. Names and words share most of their first characters: of the ids of
32,000 names, a quarter is read. As soon as a step would save too few rows, the texts are read separately.
"""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.nn.functional import gather_log_probs
from charlm.scoring.text_batch import Indices, TextBatch, assign
from charlm.scoring.tuning import ScoringTuning

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.nn.base import NetworkState


class PrefixReading(NamedTuple):
    """The result of reading the first ids of texts.

    Attributes
    ----------
    depth : number of inputs that were read of each text.
    texts : (A,) indices of the texts that have more than `depth` targets.
    rows : (A,) the row of each of them in `states`.
    states : state after each distinct prefix of `depth` inputs.
    """

    depth: int
    texts: Indices
    rows: Indices
    states: NetworkState


def common_prefix_lengths(batch: TextBatch, texts: Indices) -> Indices:
    """Return the number of first targets that each of `texts` has in common with the text before it, (texts,)."""
    lengths = np.zeros(texts.size, np.intp)
    starts, counts = batch.starts[texts], batch.counts[texts]
    limits = np.minimum(counts[1:], counts[:-1])
    depth, equal = 0, np.arange(1, texts.size)  # texts that are equal to the text before it so far
    while equal.size:
        equal = equal[limits[equal - 1] > depth]
        is_equal = batch.targets[starts[equal] + depth] == batch.targets[starts[equal - 1] + depth]
        equal = equal[is_equal]
        lengths[equal] += 1
        depth += 1
    return lengths


def score_shared_prefixes(
    network: PreparedNetwork,
    batch: TextBatch,
    part: tuple[Indices, Indices],
    state: NetworkState,
    log_probs: npt.NDArray[np.float64],
    tuning: ScoringTuning,
) -> PrefixReading:
    """Score the first ids of texts, as long as enough of the texts share them.

    Parameters
    ----------
    batch : the ids of all texts.
    part : indices of the texts to read, sorted, and the lengths of their common prefixes with the text before.
    state : before the first input of each text, for one stream.
    log_probs : (N,) of the batch; the log-probabilities of the targets are written into it, in nats.
    """
    texts, prefix_lengths = part
    states, depth = state, 0
    active: Indices = np.arange(texts.size)  # texts with more than `depth` targets, as indices into `texts`
    rows: Indices = np.zeros(texts.size, np.intp)  # the row of each of them in `states`
    buffers = cycle([network.zero_state(texts.size), network.zero_state(texts.size)])
    while True:
        prefixes = np.cumsum(prefix_lengths < depth)[active]
        is_first = np.diff(prefixes, prepend=-1) != 0  # the first text of each distinct prefix
        saved = active.size - np.count_nonzero(is_first)
        if saved < max(tuning.min_saved_rows, tuning.min_saved_fraction * active.size):
            return PrefixReading(depth, texts[active], rows, states)
        indices = batch.starts[texts[active]] + depth
        inputs, targets, parents = batch.inputs[indices[is_first]], batch.targets[indices], rows[is_first]
        rows = np.cumsum(is_first) - 1
        buffer = next(buffers)
        width = math.ceil(inputs.size / math.ceil(inputs.size / network.streams_per_step))
        stepper = network.stepper(network.zero_state(width))
        for start in range(0, inputs.size, width):
            start = min(start, inputs.size - width)  # the last slice overlaps the one before, to have the same width
            span = slice(start, start + width)
            stepper.move_to(states, parents[span])
            logits = stepper.read(inputs[span])
            assign(buffer, span, stepper.state)
            members = slice(*np.searchsorted(rows, (span.start, span.stop)))  # texts with these prefixes
            log_probs[indices[members]] = gather_log_probs(logits, targets[members], rows[members] - start)
        states = buffer
        depth += 1
        has_more = batch.counts[texts[active]] > depth
        active, rows = active[has_more], rows[has_more]
