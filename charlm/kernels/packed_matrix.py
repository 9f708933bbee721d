"""Repeated products with one matrix, such as that of a recurrence: see the package's docstring.

The columns of a matrix may belong to G gates, N = G*H. The products of the gates are then stored separately, as
(G, B, H) for a step or (G, T, B, H) for a window. In the backward pass the rows belong to the gates, and the products
of all gates are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from charlm.arrays import Array
from charlm.kernels.blas import max_small_product
from charlm.kernels.tuning import TUNING, KernelTuning
from charlm.kernels.workspace import Workspace, aligned

Multiply = Callable[[Array], object]
"""multiply(xs): write the product of xs into the output array that it was made for."""


class PackedMatrix:
    """The right operand of products xs @ matrix.

    Parameters
    ----------
    matrix : array (K, N)
        In any memory order.
    work : Workspace, optional
        Holds the packed blocks until the next matrix of the same name; without it each instance keeps its own.
    name : str, default "blocks"
        Name of the scratch memory in `work`.
    scale : array (1, N), optional
        Factors of the columns, applied when the blocks are packed.
    """

    def __init__(
        self, matrix: Array, work: Workspace | None = None, name: str = "blocks", scale: Array | None = None
    ) -> None:
        self.matrix = matrix
        self._scale = scale
        self._work = work
        self._name = name
        self._packed: dict[tuple[int, int], Array] = {}

    def columns(self, columns: slice, work: Workspace, name: str = "blocks") -> PackedMatrix:
        """Return some of the columns as a matrix; `work` and `name` as for the class."""
        scale = None if self._scale is None else self._scale[:, columns]
        return PackedMatrix(self.matrix[:, columns], work, name, scale)

    def into(self, out: Array) -> Multiply:
        """Return a function that writes xs @ matrix into `out`.

        Parameters
        ----------
        out : array (B, N), (G, B, H) or (G, T, B, H)
            Contiguous; the function's argument is xs (B, K), or (T, B, K) for a window.
        """
        inner, (streams, columns) = len(self.matrix), out.shape[-2:]
        gates, steps = 1 if out.ndim == 2 else len(out), out.shape[1] if out.ndim == 4 else 1
        if streams == 1 and out.ndim < 4 and self._scale is None:  # a vector needs no blocks
            row, matrix = out.reshape(1, -1), self.matrix
            return lambda xs: xs.dot(matrix, row)
        parts, width = block_shape(inner, columns, streams)
        if width == columns or (parts > 1 and steps > 1):  # one product per gate, for all steps
            (matrices,), flat = self._blocks(1, columns), out.reshape(gates, -1, columns)
            return lambda xs: np.matmul(xs.reshape(-1, inner), matrices, out=flat)
        across = columns // width
        blocks = self._blocks(parts, width).reshape(parts, gates, 1, across, -1, width)
        if parts == 1:
            (only,), view = blocks, out.reshape(gates, steps, streams, across, width).swapaxes(-2, -3)
            if out.ndim == 4:
                return lambda xs: np.matmul(xs[:, None], only, out=view)
            return lambda xs: np.matmul(xs, only, out=view)
        sums = np.empty((parts, *out.shape), out.dtype)
        views = sums.reshape(parts, gates, 1, streams, across, width).swapaxes(-2, -3)

        def multiply(xs: Array) -> None:
            np.matmul(xs.reshape(streams, parts, 1, 1, 1, -1).transpose(1, 2, 3, 4, 0, 5), blocks, out=views)
            np.add.reduce(sums, axis=0, out=out)

        return multiply

    def sum_into(self, out: Array, gates: int) -> Multiply:
        """Return a function that writes the sum over the gates g of xs[g] @ matrix[g*K/G : (g+1)*K/G] into `out`.

        Parameters
        ----------
        out : array (B, N)
            Contiguous; the function's argument is xs (G, B, K/G).
        gates : int
            G.
        """
        return sum_products(self._gate_blocks(gates, *out.shape), out)

    def fill_sum(self, out: Array, xs: Array) -> Array:
        """Write what `sum_into` does for xs (G, T, B, K/G), a window, into `out` (T, B, N) and return it."""
        gates, steps, streams, _ = xs.shape
        blocks = self._gate_blocks(gates, streams, out.shape[2], is_window=True)
        chunk_steps = max(
            TUNING.max_cached_sums // (gates * streams * out.shape[2]), TUNING.max_block_rows // streams, 1
        )
        for start in range(0, steps, chunk_steps):
            span = slice(start, start + chunk_steps)
            sum_products(blocks, out[span])(xs[:, span])
        return out

    def _gate_blocks(self, gates: int, streams: int, columns: int, *, is_window: bool = False) -> Array:
        """Return the matrix as (G, parts, 1, N/width, K/(G*parts), width)."""
        parts, width = block_shape(len(self.matrix) // gates, columns, streams)
        if parts > 1 and is_window:  # a plain product of many steps is as fast
            parts, width = 1, columns
        return self._blocks(gates * parts, width).reshape(gates, parts, 1, columns // width, -1, width)

    def _blocks(self, parts: int, width: int) -> Array:
        """Return the matrix as (parts, N/width, K/parts, width), packed unless plain products read it as it is."""
        if (parts, width) in self._packed:
            return self._packed[parts, width]
        inner, columns = self.matrix.shape
        view = self.matrix.reshape(parts, inner // parts, columns // width, width).swapaxes(1, 2)
        is_plain = width not in (TUNING.wide_block_columns, TUNING.narrow_block_columns) and self._scale is None
        if is_plain and (self.matrix.flags.c_contiguous or self._work is not None):
            return view
        blocks = aligned(view.shape, view.dtype) if self._work is None else self._work.scratch(self._name, *view.shape)
        if self._scale is None:
            np.copyto(blocks, view)
        else:
            np.multiply(view, self._scale.reshape(columns // width, 1, width), out=blocks)
        return self._packed.setdefault((parts, width), blocks) if self._work is None else blocks


class MatrixStack:
    """K right operands of products with K rows: row k of xs is multiplied by matrix k, without blocks.

    Parameters
    ----------
    matrices : sequence of arrays (K', N)
    """

    def __init__(self, matrices: Sequence[Array]) -> None:
        self.matrices = matrices

    def columns(self, columns: slice, work: Workspace, name: str = "blocks") -> MatrixStack:
        """Return some of the columns of each matrix; the other parameters are those of `PackedMatrix.columns`."""
        return MatrixStack([matrix[:, columns] for matrix in self.matrices])

    def into(self, out: Array) -> Multiply:
        """Return a function of xs (K, K') that writes the products into `out`, (K, N) or (G, K, N/G) by gate."""
        rows = np.empty((len(self.matrices), out.size // len(self.matrices)), out.dtype)
        products = rows if out.ndim == 2 else rows.reshape(len(rows), len(out), -1).swapaxes(0, 1)
        pairs = list(zip(self.matrices, rows, strict=True))

        def multiply(xs: Array) -> None:
            for x, (matrix, row) in zip(xs, pairs, strict=True):
                x.dot(matrix, row)
            np.copyto(out, products)

        return multiply


def sum_products(blocks: Array, out: Array) -> Multiply:
    """Return a function that writes the sum over the gates of xs[g] @ matrix[g] into `out`.

    Parameters
    ----------
    blocks : array (G, parts, 1, N/width, K/(G*parts), width)
        One block per gate for plain products.
    out : array (B, N) or (T, B, N)
        Contiguous; the function's argument is xs (G, B, K/G), or (G, T, B, K/G) for a window.
    """
    gates, parts, _, across, inner, width = blocks.shape
    streams, columns = out.shape[-2:]
    if parts == across == 1:
        matrix, flat = blocks.reshape(-1, columns), out.reshape(-1, columns)
        side_by_side = np.empty((len(flat), gates, inner), out.dtype)

        def multiply_at_once(xs: Array) -> None:
            np.copyto(side_by_side, xs.reshape(gates, -1, inner).swapaxes(0, 1))
            np.matmul(side_by_side.reshape(len(flat), -1), matrix, out=flat)

        return multiply_at_once
    sums = np.empty((gates * parts, out.size), out.dtype)
    views, total = sums.reshape(gates, parts, -1, streams, across, width).swapaxes(-2, -3), out.reshape(-1)

    def multiply(xs: Array) -> None:
        if parts == 1:
            xs_by_part = xs.reshape(gates, 1, -1, 1, streams, inner)
        else:
            xs_by_part = xs.reshape(gates, -1, 1, streams, parts, inner).transpose(0, 4, 1, 2, 3, 5)
        np.matmul(xs_by_part, blocks, out=views)
        np.add.reduce(sums, axis=0, out=total)

    return multiply


def block_shape(inner: int, columns: int, rows: int, tuning: KernelTuning = TUNING) -> tuple[int, int]:
    """Choose how to cut a matrix (K, N) into blocks, for products with few rows.

    Parameters
    ----------
    inner, columns : int
        K and N of one gate.
    rows : int
        Rows of the other operand.
    tuning : KernelTuning

    Returns
    -------
    parts : int
        Number of parts of K, whose products are summed.
    width : int
        Columns of a block. (1, N) means a plain product, always the case where the BLAS packs small products.
    """
    if 1 < rows <= tuning.max_block_rows and (limit := max_small_product()):
        parts, widths = 1, [tuning.wide_block_columns]
        if rows >= tuning.min_narrow_block_rows:
            widths.append(tuning.narrow_block_columns)
        while inner % parts == 0 and inner // parts >= tuning.wide_block_columns:
            for width in widths:
                if columns % width == 0 and rows * width * (inner // parts) <= limit:
                    return parts, width
            parts *= 2
    return 1, columns
