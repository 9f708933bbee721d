"""Buffers that are allocated once and reused, window after window."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from mmap import mmap
from typing import Any

import numpy as np

from charlm.arrays import Array
from charlm.kernels.tuning import TUNING, KernelTuning
from charlm.machine import usable_cores


def aligned(shape: tuple[int, ...], dtype: Any, tuning: KernelTuning = TUNING) -> Array:
    """Return an array like `np.empty`; unless it is small, it starts at a cache line."""
    size = prod(shape) * np.dtype(dtype).itemsize
    if size < tuning.min_aligned_bytes:
        return np.empty(shape, dtype)
    if size >= tuning.min_mapped_bytes:
        return np.frombuffer(mmap(-1, size), dtype).reshape(shape)
    buffer = np.empty(size + tuning.cache_line_bytes, np.uint8)
    start = -buffer.ctypes.data % tuning.cache_line_bytes
    result: Array = buffer[start : start + size].view(dtype).reshape(shape)
    return result


class Workspace:
    """Named buffers. A name keeps its memory, which grows with the largest shape that was requested.

    The next request for a name overwrites the contents. A scope has its own arrays and shares its scratch memory with
    all other scopes. Only one call may use a workspace at a time: see `Workspaces`.

    Parameters
    ----------
    dtype : dtype, default float32
    scratch : dict, optional
        Scratch memory of an enclosing workspace.
    """

    def __init__(self, dtype: Any = np.float32, scratch: dict[str, Array] | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}
        self._memory: dict[str, Array] = {}
        self._scopes: dict[str, Workspace] = {}
        self._scratch: dict[str, Array] = {} if scratch is None else scratch

    def array(self, name: str, *shape: int) -> Array:
        """Return the array `name`, with its previous contents if the shape is the same."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            size, memory = prod(shape), self._memory.get(name)
            if memory is None or memory.size < size:
                memory = self._memory[name] = aligned((size,), self.dtype)
            found = self._arrays[name] = memory[:size].reshape(shape)
        return found

    def scope(self, name: str) -> Workspace:
        """Return the workspace `name` inside this one."""
        if name not in self._scopes:
            self._scopes[name] = Workspace(self.dtype, self._scratch)
        return self._scopes[name]

    def scratch(self, name: str, *shape: int) -> Array:
        """Return the scratch memory `name` of all scopes; it is valid until the next request for that name."""
        size = prod(shape)
        found = self._scratch.get(name)
        if found is None or found.size < size:
            found = self._scratch[name] = aligned((size,), self.dtype)
        return found[:size].reshape(shape)


class Workspaces:
    """A pool of workspaces for calls from several threads. It keeps at most one per usable core."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._free: deque[Workspace] = deque(maxlen=usable_cores())  # its append and pop are atomic

    @contextmanager
    def borrow(self) -> Iterator[Workspace]:
        """Yield a workspace that no other call uses."""
        try:
            work = self._free.pop()
        except IndexError:
            work = Workspace(self._dtype)
        try:
            yield work
        finally:
            self._free.append(work)


def rows(sequence: Array) -> Array:
    """View a sequence (T, B, F) as one matrix (T*B, F)."""
    return sequence.reshape(-1, sequence.shape[2])


def sum_rows(matrix: Array) -> Array:
    """Return the sum over the rows of a matrix (..., N, F), (..., F); a product with ones is the fastest sum."""
    return np.ones(matrix.shape[-2], matrix.dtype) @ matrix
