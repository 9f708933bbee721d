"""Buffers that are made once and used again, window after window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from mmap import mmap
from typing import Any

import numpy as np

from charlm.arrays import Array
from charlm.machine import usable_cores

ALIGNMENT = 64
"""Bytes of a line of the cache: a processor's vector that lies across two takes as long as two."""

WORTH_ALIGNING = 1 << 14
"""Bytes from which on it pays."""

WORTH_MAPPING = 1 << 20
"""Bytes from which on an array is mapped by itself: the system has them back as soon as it is dropped."""


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return an array like `np.empty`; unless it is small, it begins at a line of the cache."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < WORTH_ALIGNING:
        return np.empty(shape, dtype)
    if size >= WORTH_MAPPING:
        return np.frombuffer(mmap(-1, size), dtype).reshape(shape)
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    result: Array = room[start : start + size].view(dtype).reshape(shape)
    return result


class Workspace:
    """Named arrays. A name keeps its memory for as long as its shape stays the same.

    Whoever asks for a name overwrites what was there: an array lives until the next window asks for it.
    A room has arrays of its own, and shares its scratch with all rooms: scratch lives until somebody else asks.
    One call works in a workspace at a time: see `Workspaces`.
    """

    def __init__(self, dtype: Any = np.float32, scratch: dict[str, Array] | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}
        self._rooms: dict[str, Workspace] = {}
        self._scratch: dict[str, Array] = {} if scratch is None else scratch

    def array(self, name: str, *shape: int) -> Array:
        """Return the array called `name`, of `shape`; its contents are whatever was there before."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            found = self._arrays[name] = aligned(shape, self.dtype)
        return found

    def scope(self, name: str) -> Workspace:
        """Return the workspace inside this one that is called `name`."""
        if name not in self._rooms:
            self._rooms[name] = Workspace(self.dtype, self._scratch)
        return self._rooms[name]

    def scratch(self, name: str, *shape: int) -> Array:
        """Return memory that all rooms share under `name`, as large as anybody ever needed it."""
        size = prod(shape)
        found = self._scratch.get(name)
        if found is None or found.size < size:
            found = self._scratch[name] = aligned((size,), self.dtype)
        return found[:size].reshape(shape)


class Workspaces:
    """Workspaces that calls borrow, so that each call has buffers of its own, from whatever thread it comes.

    At most one per usable core is kept for the next calls.
    """

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._free: deque[Workspace] = deque(maxlen=usable_cores())  # its append and pop are atomic

    @contextmanager
    def borrow(self) -> Iterator[Workspace]:
        """Yield a workspace that no other call works in."""
        try:
            work = self._free.pop()
        except IndexError:
            work = Workspace(self._dtype)
        try:
            yield work
        finally:
            self._free.append(work)


def rows(sequence: Array) -> Array:
    """View a sequence (T, B, F) as one matrix (T*B, F), a row for each character."""
    return sequence.reshape(-1, sequence.shape[2])


def sum_rows(matrix: Array) -> Array:
    """Return the sum over the rows of a matrix (..., N, F), (..., F): a product with ones is the fastest sum."""
    return np.ones(matrix.shape[-2], matrix.dtype) @ matrix
