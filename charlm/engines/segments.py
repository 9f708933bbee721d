"""Cut a window where streams are reset, for layers that cannot reset a state themselves.

Running text is seldom reset. All streams are then cut at that step, into chunks of time: PyTorch reads sequences of
equal length fastest. Lines are reset often. Each stream is then cut at its own resets, and one call reads all
segments as a packed sequence, longest first: (segment 0 step 0), (segment 1 step 0), ..., (segment 0 step 1), ...
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from charlm.arrays import Ids


class Segments(NamedTuple):
    """S segments of a window (T, B), longest first, as arrays or as tensors of PyTorch.

    Attributes
    ----------
    order : ndarray of int, shape (T*B,)
        Index of each packed element in the flattened window.
    sizes : ndarray of int, shape (longest segment,)
        Number of segments that have a step t.
    columns : ndarray of int, shape (S,)
        Stream of each segment.
    carried : ndarray of float32, shape (S, 1)
        1 for a segment that continues the previous window, 0 for one that starts from a zero state.
    last : ndarray of int, shape (B,)
        Last segment of each stream.
    """

    order: Any
    sizes: Any
    columns: Any
    carried: Any
    last: Any


def cut_into_chunks(inputs: Ids, start: int, min_steps_per_chunk: float) -> list[slice]:
    """Cut a window (T, B) at each step at which an input is the id `start`.

    Returns no chunks if their mean length would be about `min_steps_per_chunk` or less.

    >>> cut_into_chunks(np.array([[5, 5]] * 9 + [[0, 5]] + [[5, 5]] * 6), 0, 8)
    [slice(0, 9, None), slice(9, 16, None)]
    """
    steps = len(inputs)
    cuts = np.flatnonzero((inputs[1:] == start).any(axis=1)) + 1
    if len(cuts) * min_steps_per_chunk > steps:
        return []
    return [slice(first, last) for first, last in pairwise([0, *cuts.tolist(), steps])]


def cut_into_segments(inputs: Ids, start: int) -> Segments:
    """Cut each stream of a window (T, B) wherever its input is the id `start`.

    >>> cut_into_segments(np.array([[5, 5], [0, 5], [5, 5]]), 0).order.tolist()
    [1, 2, 0, 3, 4, 5]
    """
    steps, streams = inputs.shape
    is_reset = inputs == start
    is_first = is_reset.copy()
    is_first[0] = True
    columns, firsts = np.nonzero(is_first.T)  # stream by stream, in the order of time
    lengths = np.diff(columns * steps + firsts, append=streams * steps)
    by_length = np.argsort(-lengths, kind="stable")
    sorted_lengths, offsets = lengths[by_length], firsts[by_length] * streams + columns[by_length]
    sizes = np.searchsorted(-sorted_lengths, -np.arange(sorted_lengths[0]), side="left")
    order = np.concatenate([offsets[:size] + t * streams for t, size in enumerate(sizes)])
    carried = (firsts == 0) & ~is_reset[0, columns]
    rank = np.empty_like(by_length)
    rank[by_length] = np.arange(by_length.size)
    is_last = np.append(columns[1:] != columns[:-1], True)
    return Segments(order, sizes, columns[by_length], carried[by_length, None].astype(np.float32), rank[is_last])
