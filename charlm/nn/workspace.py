"""Buffers that are made once and used again, window after window."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from charlm.arrays import Array


class Workspace:
    """Named arrays. A name keeps its memory for as long as its shape stays the same.

    Whoever asks for a name overwrites what was there: an array lives until the next window asks for it.
    A room has arrays of its own, and shares its scratch with all rooms: scratch lives until somebody else asks.
    One workspace belongs to one thread.
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
            found = self._arrays[name] = np.empty(shape, self.dtype)
        return found

    def room(self, name: str) -> Workspace:
        """Return the workspace inside this one that is called `name`."""
        if name not in self._rooms:
            self._rooms[name] = Workspace(self.dtype, self._scratch)
        return self._rooms[name]

    def scratch(self, name: str, *shape: int) -> Array:
        """Return memory that all rooms share under `name`, as large as anybody ever needed it."""
        size = prod(shape)
        found = self._scratch.get(name)
        if found is None or found.size < size:
            found = self._scratch[name] = np.empty(size, self.dtype)
        return found[:size].reshape(shape)


SMALL_PRODUCT = 1_000_000
"""Multiplications of a matrix product up to which OpenBLAS multiplies in place rather than pack its operands."""
NARROW = 64
"""Columns up to which that is faster."""


def stacked(matrix: Array, columns: int) -> Array:
    """View a matrix (M, K) as a stack (n, M/n, K), for products with K x `columns` that are small enough each.

    OpenBLAS packs the operands of a product unless it is small, and in a recurrence, where one operand is a
    narrow state, packing costs as much as a fifth of the time. A stack is multiplied one small product after
    another: `np.matmul(stacked(w, B), h, out=z.reshape(n, M/n, B))` is w @ h.
    """
    rows, inner = matrix.shape
    n = 1
    while columns <= NARROW and rows % (2 * n) == 0 and rows * inner * columns > SMALL_PRODUCT * n:
        n *= 2
    return matrix.reshape(n, rows // n, inner)


COLUMNS = 8
"""Columns that OpenBLAS's small products take at a time, and in multiples of which they are fast."""


def multiply(stack: Array, xs: Array, out: Array) -> None:
    """Fill `out` (n, M/n, B) with a stack (n, M/n, K) times xs (K, B).

    A single column beyond a multiple of COLUMNS is multiplied by itself: with it, 25 columns take as long as 32.
    """
    streams = xs.shape[1]
    if streams > COLUMNS and streams % COLUMNS == 1:
        np.matmul(stack, xs[:, :-1], out=out[:, :, :-1])
        np.matmul(stack, xs[:, -1], out=out[:, :, -1])
    else:
        np.matmul(stack, xs, out=out)


def product(matrix: Array, xs: Array) -> Array:
    """Return matrix @ xs for a single step, (M, B): as a stack where that is faster."""
    streams = xs.shape[1]
    result: Array = matrix.dot(xs) if streams == 1 else np.matmul(stacked(matrix, streams), xs).reshape(-1, streams)
    return result


def columns(xs: Array, out: Array) -> Array:
    """Lay a sequence (T, F, B) out as one matrix (F, T*B), a column for each character; `out` is filled."""
    steps, features, streams = xs.shape
    np.copyto(out.reshape(features, steps, streams), xs.transpose(1, 0, 2))
    return out


def sum_columns(matrix: Array) -> Array:
    """Return the sum over the columns of a matrix (F, N), (F,): a product with ones is the fastest sum."""
    return matrix @ np.ones(matrix.shape[1], matrix.dtype)


def sequence(matrix: Array, out: Array) -> Array:
    """Undo `columns`: (F, T*B) back to the sequence (T, F, B); `out` is filled."""
    steps, features, streams = out.shape
    np.copyto(out, matrix.reshape(features, steps, streams).transpose(1, 0, 2))
    return out
