"""A window as sequences of their own: a stream that starts anew within it is cut there.

In running text streams seldom do, and then all are cut at that step, into spans: what PyTorch reads fastest are
sequences of one length. In lines they do all the time. One call of `torch.nn.LSTM` reads such a window whatever starts
in it: the segments, longest first, are a packed sequence, (segment 0 step 0), (segment 1 step 0), ...,
(segment 0 step 1), ...
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.nn.base import BaseNetwork
from charlm.nn.layers import dropout_mask

WORTH_PACKING = 8
"""Steps of a window to each at which a stream starts anew, from which down segments are faster than spans."""


class Segments(NamedTuple):
    """S segments of a window (T, B), longest first.

    places: of each packed element in the flattened window, (T*B,).  sizes: segments that have a step t, (longest,).
    columns: stream of each segment, (S,).  carried: 1 where it goes on from the window before, 0 where it is new, (S,).
    last: for each stream, the segment that it ends with, (B,).
    """

    places: Ids
    sizes: Ids
    columns: Ids
    carried: Array
    last: Ids


def cut_into_spans(inputs: Ids, start: int) -> list[slice]:
    """Cut a window (T, B) at each step at which an input is the id `start`; no spans if they would be too many.

    >>> cut_into_spans(np.array([[5, 5]] * 9 + [[0, 5]] + [[5, 5]] * 6), 0)
    [slice(0, 9, None), slice(9, 16, None)]
    """
    steps = len(inputs)
    cuts = np.flatnonzero((inputs[1:] == start).any(axis=1)) + 1
    if len(cuts) * WORTH_PACKING > steps:
        return []
    return [slice(a, b) for a, b in pairwise([0, *cuts.tolist(), steps])]


def cut_into_segments(inputs: Ids, start: int) -> Segments:
    """Cut a window (T, B) wherever an input is the id `start`.

    >>> cut_into_segments(np.array([[5, 5], [0, 5], [5, 5]]), 0).places.tolist()
    [1, 2, 0, 3, 4, 5]
    """
    steps, streams = inputs.shape
    starts = inputs == start
    begins = starts.copy()
    begins[0] = True
    columns, firsts = np.nonzero(begins.T)  # stream by stream, in the order of time
    lengths = np.diff(columns * steps + firsts, append=streams * steps)
    order = np.argsort(-lengths, kind="stable")
    sorted_lengths, tops = lengths[order], firsts[order] * streams + columns[order]
    sizes = np.searchsorted(-sorted_lengths, -np.arange(sorted_lengths[0]), side="left")
    places = np.concatenate([tops[:size] + t * streams for t, size in enumerate(sizes)])
    carried = (firsts == 0) & ~starts[0, columns]
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    ends = np.flatnonzero(np.append(columns[1:] != columns[:-1], True))
    return Segments(places, sizes, columns[order], carried[order].astype(np.float32), rank[ends])


def draw_masks(network: BaseNetwork, streams: int, rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """Draw the masks of dropout in the order of `Network.forward`: of each layer's outputs, and recurrent weights.

    Returns (B, H) and (G*H, H) for each layer; empty lists where nothing is dropped.
    """
    config = network.config
    masks: list[Array] = []
    dropped: list[Array] = []
    for layer in range(config.layers):
        if config.recurrent_dropout:
            shape = network.layout[f"rnn.weight_hh_l{layer}"]
            dropped.append(dropout_mask(rng, config.recurrent_dropout, np.empty(shape, np.float32)))
        if config.dropout:
            masks.append(dropout_mask(rng, config.dropout, np.empty((streams, config.hidden), np.float32)))
    return masks, dropped
