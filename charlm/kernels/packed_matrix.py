"""Products with one matrix again and again: that of a recurrence, step after step, and of a window's projection.

A BLAS packs the operands of a product. Where one of them is a state of a few rows, packing the other takes as long as
multiplying by it. OpenBLAS does without if the product is small and the processor has AVX-512 (`blas.py`). There the
matrix is laid out once, in blocks of 64 or 32 columns: each block is a small product, and of the form that runs
fastest, whatever the number of rows (`python -m benchmarks products`). Elsewhere all products are plain ones.

A matrix of G gates has G*H columns, and the products of each gate are wanted apart: (G, B, H) for a step,
(G, T, B, H) for a window. On the way back it has G*H rows, and the products of all gates are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np

from charlm.arrays import Array
from charlm.kernels.blas import small_product
from charlm.kernels.workspace import Workspace, aligned, rows

WIDE, NARROW = 64, 32
"""Columns of a block."""
ENOUGH_ROWS = 24
"""Rows from which on narrow blocks are as fast as wide ones."""
MOST_ROWS = 240
"""Rows beyond which a plain product is as fast."""
FEWEST_ON_ALL_CORES = 32
"""Rows from which on a product may be faster at once, spread over the cores, than in blocks on one of them,"""
MOST_SUMMED = 384
"""and the most values that it then sums up in one go, as blocks do: the numbers are the same."""
CACHED_SUMS = 1 << 17
"""Values that are added up at a time, so that they stay in a core's cache."""


class PackedMatrix:
    """The right-hand side of products xs @ matrix.

    matrix: (K, N), of any strides.
    work: where its blocks are laid out, as scratch called `name`; None to keep them for as long as this lives.
    scale: (1, N), what the columns are multiplied by as they are laid out; None if they are as they should be.
    """

    def __init__(
        self, matrix: Array, work: Workspace | None = None, name: str = "blocks", scale: Array | None = None
    ) -> None:
        self.matrix = matrix
        self._scale = scale
        self._work = work
        self._name = name
        self._kept: dict[tuple[int, int], Array] = {}
        self._on_all_cores = False

    def on_all_cores(self) -> PackedMatrix:
        """Return the same, blocks and all, but for steps that OpenBLAS may spread over the cores.

        Not where threads or processes share them.
        """
        other = copy(self)
        other._on_all_cores = True
        return other

    def columns(self, some: slice, work: Workspace, name: str = "blocks") -> PackedMatrix:
        """Return what multiplies by some of the columns alone; `work` and `name` as for this."""
        return PackedMatrix(self.matrix[:, some], work, name, None if self._scale is None else self._scale[:, some])

    def into(self, out: Array) -> Callable[[Array], object]:
        """Return a function that fills `out`, which is contiguous, with xs @ matrix, for xs (B, K).

        out: (B, N), or (G, B, H) for the gates apart.
        """
        count, columns = out.shape[-2:]
        if count == 1 and self._scale is None:  # a vector needs no blocks
            row, matrix = out.reshape(1, -1), self.matrix
            return lambda xs: xs.dot(matrix, row)
        parts, width = block_shape(len(self.matrix), columns, count)
        if self._on_all_cores and parts == 1 and len(self.matrix) <= MOST_SUMMED:
            width = columns
        if width == columns and out.ndim == 3:  # one product for all gates, which are moved apart
            matrix = self._blocks(1, len(out) * columns)[0, 0]
            row = np.empty((count, matrix.shape[1]), out.dtype)
            apart = row.reshape(count, -1, columns).swapaxes(0, 1)

            def multiply_at_once(xs: Array) -> None:
                np.matmul(xs, matrix, out=row)
                np.copyto(out, apart)

            return multiply_at_once
        inner, across = len(self.matrix) // parts, columns // width
        blocks = self._blocks(parts, width).reshape(parts, -1, across, inner, width)
        if parts == 1:
            view = out.reshape(-1, count, across, width).swapaxes(1, 2)
            (only,) = blocks
            if out.ndim == 2:
                (view,), (only,) = view, only
            return lambda xs: np.matmul(xs, only, out=view)
        sums = np.empty((parts, *out.shape), out.dtype)
        views = sums.reshape(parts, -1, count, across, width).swapaxes(2, 3)

        def multiply(xs: Array) -> None:
            np.matmul(xs.reshape(count, parts, 1, 1, inner).transpose(1, 2, 3, 0, 4), blocks, out=views)
            np.add.reduce(sums, axis=0, out=out)

        return multiply

    def sum_into(self, out: Array, gates: int) -> Callable[[Array], object]:
        """Return a function that fills `out` (B, N), which is contiguous, for xs (G, B, K/G).

        It adds up xs[g] @ matrix[g*K/G : (g+1)*K/G], a product for each gate.
        """
        count, columns = out.shape
        parts, width = block_shape(len(self.matrix) // gates, columns, count)
        if (parts, width) == (1, columns):
            matrix = self._blocks(1, columns)[0, 0]
            side = np.empty((count, gates, len(matrix) // gates), out.dtype)
            return lambda xs: np.matmul(side_by_side(xs, side), matrix, out=out)
        inner, across = len(self.matrix) // gates // parts, columns // width
        blocks = self._blocks(gates * parts, width).reshape(gates, parts, across, inner, width)
        sums = np.empty((gates * parts, out.size), out.dtype) if gates * parts > 1 else out
        views = sums.reshape(gates, parts, count, across, width).swapaxes(2, 3)
        total = out.reshape(-1)

        def multiply(xs: Array) -> None:
            if parts == 1:
                each = xs[:, None, None]
            else:
                each = xs.reshape(gates, count, parts, 1, inner).transpose(0, 2, 3, 1, 4)
            np.matmul(each, blocks, out=views)
            if gates * parts > 1:
                np.add.reduce(sums, axis=0, out=total)

        return multiply

    def fill(self, out: Array, xs: Array) -> Array:
        """Fill and return `out` (G, T, B, H), which is contiguous, with xs @ matrix, for a sequence xs (T, B, K)."""
        gates, steps, count, columns = out.shape
        parts, width = block_shape(len(self.matrix), columns, count)
        if parts > 1:  # a product of the whole window is as fast
            parts, width = 1, columns
        if width == columns:
            np.matmul(rows(xs), self._blocks(1, columns)[0], out=out.reshape(gates, -1, columns))
            return out
        across = columns // width
        blocks = self._blocks(parts, width).reshape(gates, 1, across, -1, width)
        np.matmul(xs[:, None], blocks, out=out.reshape(gates, steps, count, across, width).swapaxes(2, 3))
        return out

    def fill_sum(self, out: Array, xs: Array, work: Workspace) -> Array:
        """Fill and return `out` (T, B, N), which is contiguous, for a sequence xs (G, T, B, K/G): see `sum_into`."""
        gates, steps, count, inner = xs.shape
        columns = out.shape[2]
        parts, width = block_shape(inner, columns, count)
        run = max(1, CACHED_SUMS // (gates * count * columns))
        if parts > 1 or width == columns:  # a product of many steps is as fast
            run = max(run, MOST_ROWS // count)
            matrix = self._blocks(1, columns)[0, 0]
            for start in range(0, steps, run):
                some = xs[:, start : start + run].reshape(gates, -1, inner)
                side = work.scratch("side_by_side", some.shape[1], gates, inner)
                np.matmul(side_by_side(some, side), matrix, out=rows(out[start : start + run]))
            return out
        across = columns // width
        blocks = self._blocks(gates, width).reshape(gates, 1, across, inner, width)
        for start in range(0, steps, run):
            span = slice(start, min(start + run, steps))
            sums = work.scratch("sums_of_gates", gates, span.stop - start, count, columns)
            views = sums.reshape(gates, -1, count, across, width).swapaxes(2, 3)
            np.matmul(xs[:, span, None], blocks, out=views)
            np.add.reduce(sums, axis=0, out=out[span])
        return out

    def times(self, xs: Array) -> Array:
        """Return xs @ matrix, (B, N), for xs (B, K)."""
        if len(xs) == 1 and self._scale is None:  # a matrix-vector product needs no blocks
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
        cut = self.matrix.reshape(parts, inner // parts, columns // width, width).swapaxes(1, 2)
        is_cut = width in (WIDE, NARROW) or self._scale is not None
        if not is_cut and (self.matrix.flags.c_contiguous or self._work is not None):
            return cut
        blocks = aligned(cut.shape, cut.dtype) if self._work is None else self._work.scratch(self._name, *cut.shape)
        if self._scale is None:
            np.copyto(blocks, cut)
        else:
            np.multiply(cut, self._scale.reshape(columns // width, 1, width), out=blocks)
        return self._kept.setdefault((parts, width), blocks) if self._work is None else blocks


def side_by_side(xs: Array, out: Array) -> Array:
    """Put the values of all gates, (G, B, K), into one row for each stream: fill `out` (B, G, K); returns (B, G*K)."""
    if len(xs) == 1:
        only: Array = xs[0]
        return only
    np.copyto(out, xs.swapaxes(0, 1))
    return out.reshape(len(out), -1)


def block_shape(inner: int, columns: int, rows: int) -> tuple[int, int]:
    """Return in how many parts to cut the K = `inner` rows of a matrix, and how wide its blocks are.

    rows: of what it is multiplied with.  One part, and one block of all columns, is the plain product: the one where
    the BLAS packs small products, too.
    """
    if 1 < rows <= MOST_ROWS and (most := small_product()):
        parts = 1
        while inner % parts == 0 and inner // parts >= WIDE:
            for width, fewest in ((WIDE, 1), (NARROW, ENOUGH_ROWS)):
                if columns % width == 0 and rows >= fewest and rows * width * (inner // parts) <= most:
                    return parts, width
            parts *= 2
    return 1, columns
