"""Products with one matrix again and again: that of a recurrence, step after step.

OpenBLAS packs the operands of a product unless it is small. Where one of them is a state of a few rows, packing the
other takes as long as multiplying by it. So the matrix is laid out once, in blocks of 64 or 32 columns: each block
is a small product, and of the form that runs fastest, whatever the number of rows (`python -m benchmarks.products`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np

from charlm.arrays import Array
from charlm.nn.workspace import Workspace, aligned

SMALL_PRODUCT = 1_000_000
"""Multiplications of a matrix product up to which OpenBLAS multiplies in place rather than pack its operands."""
WIDE, NARROW = 64, 32
"""Columns of a block."""
ENOUGH_ROWS = 24
"""Rows from which on narrow blocks are as fast as wide ones."""
MOST_ROWS = 240
"""Rows beyond which a plain product is as fast."""
ROWS_FOR_ALL_CORES = 32
"""Rows from which on a plain product, which OpenBLAS spreads over cores, beats blocks on one of them."""


class Factor:
    """The right-hand side of products xs @ matrix.

    matrix: (K, N), of any strides.
    work: where its blocks are laid out, as scratch called `name`; None to keep them for as long as this lives.
    """

    def __init__(self, matrix: Array, work: Workspace | None = None, name: str = "blocks") -> None:
        self.matrix = matrix
        self._on_all_cores = False
        self._work = work
        self._name = name
        self._kept: dict[tuple[int, int], Array] = {}

    def on_all_cores(self) -> Factor:
        """Return the same, blocks and all, for products of many rows that may take every core.

        Not where threads or processes share them.
        """
        other = copy(self)
        other._on_all_cores = True
        return other

    def into(self, out: Array) -> Callable[[Array], object]:
        """Return a function that fills `out` (B, N), which is contiguous, with xs @ matrix, for xs (B, K)."""
        rows = len(out)
        if rows == 1 or (self._on_all_cores and rows >= ROWS_FOR_ALL_CORES):  # a vector needs no blocks
            matrix = self.matrix
            return lambda xs: xs.dot(matrix, out)
        inner, columns = self.matrix.shape
        blocks = self._blocks(*block_shape(inner, columns, rows))
        parts, count, inner, width = blocks.shape
        if parts == 1:
            view = out.reshape(rows, count, width).transpose(1, 0, 2)
            (only,) = blocks
            return lambda xs: np.matmul(xs, only, out=view)
        sums = np.empty((parts, rows, columns), out.dtype)
        views = sums.reshape(parts, rows, count, width).transpose(0, 2, 1, 3)

        def multiply(xs: Array) -> None:
            np.matmul(xs.reshape(rows, parts, 1, inner).transpose(1, 2, 0, 3), blocks, out=views)
            np.add.reduce(sums, axis=0, out=out)

        return multiply

    def fill(self, out: Array, xs: Array) -> Array:
        """Fill and return `out` (T, B, N), which is contiguous, with xs @ matrix, for a sequence xs (T, B, K)."""
        steps, rows, columns = out.shape
        parts, width = block_shape(xs.shape[2], columns, rows)
        if rows == 1 or parts > 1 or width == columns:
            np.matmul(xs.reshape(steps * rows, -1), self.matrix, out=out.reshape(steps * rows, columns))
            return out
        view = out.reshape(steps, rows, columns // width, width).transpose(0, 2, 1, 3)
        np.matmul(xs[:, None], self._blocks(parts, width)[0], out=view)
        return out

    def times(self, xs: Array) -> Array:
        """Return xs @ matrix, (B, N), for xs (B, K)."""
        if len(xs) == 1:  # a matrix-vector product needs no blocks
            result: Array = xs.dot(self.matrix)
            return result
        out = np.empty((len(xs), self.matrix.shape[1]), xs.dtype)
        self.into(out)(xs)
        return out

    def _blocks(self, parts: int, width: int) -> Array:
        """Return the matrix as (parts, N/width, K/parts, width)."""
        kept = self._kept.get((parts, width))
        if kept is not None:
            return kept
        inner, columns = self.matrix.shape
        cut = self.matrix.reshape(parts, inner // parts, columns // width, width).transpose(0, 2, 1, 3)
        if self._work is not None:
            blocks = self._work.scratch(self._name, *cut.shape)
            np.copyto(blocks, cut)
            return blocks
        kept = aligned(cut.shape, cut.dtype)
        np.copyto(kept, cut)
        return self._kept.setdefault((parts, width), kept)


def block_shape(inner: int, columns: int, rows: int) -> tuple[int, int]:
    """Return in how many parts to cut the K = `inner` rows of a matrix, and how wide its blocks are.

    rows: of what it is multiplied with.  One part, and one block of all columns, is the plain product.
    """
    if rows <= MOST_ROWS:
        parts = 1
        while inner % parts == 0 and inner // parts >= WIDE:
            for width, fewest in ((WIDE, 1), (NARROW, ENOUGH_ROWS)):
                if columns % width == 0 and rows >= fewest and rows * width * (inner // parts) <= SMALL_PRODUCT:
                    return parts, width
            parts *= 2
    return 1, columns
