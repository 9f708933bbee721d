"""Buffers that are made once and used again, window after window."""

from __future__ import annotations

from typing import Any

import numpy as np

from charlm.arrays import Array


class Workspace:
    """Named scratch arrays. A name keeps its memory for as long as its shape stays the same.

    Whoever asks for a name overwrites what was there: an array lives until the next window asks for it.
    One workspace belongs to one thread.
    """

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: dict[str, Array] = {}
        self._rooms: dict[str, Workspace] = {}

    def array(self, name: str, *shape: int) -> Array:
        """Return the array called `name`, of `shape`; its contents are whatever was there before."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            found = self._arrays[name] = np.empty(shape, self.dtype)
        return found

    def room(self, name: str) -> Workspace:
        """Return the workspace inside this one that is called `name`."""
        if name not in self._rooms:
            self._rooms[name] = Workspace(self.dtype)
        return self._rooms[name]


def columns(xs: Array, out: Array) -> Array:
    """Lay a sequence (T, F, B) out as one matrix (F, T*B), a column for each character; `out` is filled."""
    steps, features, streams = xs.shape
    np.copyto(out.reshape(features, steps, streams), xs.transpose(1, 0, 2))
    return out


def sequence(matrix: Array, out: Array) -> Array:
    """Undo `columns`: (F, T*B) back to the sequence (T, F, B); `out` is filled."""
    steps, features, streams = out.shape
    np.copyto(out, matrix.reshape(features, steps, streams).transpose(1, 0, 2))
    return out
