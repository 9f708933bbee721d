"""Products of a whole window: many rows with a small matrix, and sums over all rows, which gradients of weights are.

Both are cut into products so small that OpenBLAS does not pack their operands, where it can do without: see `blas.py`.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.blas import small_product
from charlm.kernels.packed_matrix import CACHED_SUMS, MOST_ROWS, NARROW, WIDE
from charlm.kernels.workspace import Workspace, rows

FEWEST_ROWS = 12
"""Rows of a small product below which a plain one is as fast."""
MOST_TALL = 128
"""Rows of a block of a gradient that is cut into none of 64 or 32."""
CACHED_ROWS = 1 << 16
"""Values of the rows that all blocks of a gradient are multiplied with, again so that they stay in the cache."""
FEWEST_SUMMED = 240
"""Rows that a block of a gradient sums at least: the sums are added up in turn."""
MOST_IN_BLOCKS = 1 << 20
"""Weights up to which their gradient is computed in blocks; adding up that of more takes too long."""


def rows_at_once(weights: int) -> int:
    """Return how many rows a matrix of so many weights multiplies in a small product; 0 if it is too large for one."""
    most = min(MOST_ROWS, small_product() // weights)
    return most if most >= FEWEST_ROWS else 0


def multiply_rows(xs: Array, matrix: Array, out: Array) -> Array:
    """Fill and return `out` (N, C) with xs (N, K) @ matrix (K, C), in small products of many rows at a time.

    The matrix is contiguous, or else it is multiplied by as a whole, as are large ones.
    """
    inner, columns = matrix.shape
    run = rows_at_once(matrix.size) if matrix.flags.c_contiguous and len(xs) >= FEWEST_ROWS else 0
    whole = len(xs) // run * run if run else 0
    if whole:
        np.matmul(xs[:whole].reshape(-1, run, inner), matrix, out=out[:whole].reshape(-1, run, columns))
    np.matmul(xs[whole:], matrix, out=out[whole:])
    return out


def write_gradient(dzs: Array, xs: Array, grad: Array, work: Workspace) -> None:
    """Write d loss / d W, the sum of dz x^T over all steps and streams, for the W of z = W x.

    dzs: (G, T, B, H), contiguous but for its first axis.  xs: (T, B, K).  grad: (G*H, K).
    Blocks of it are small products of a few hundred rows, which are added up.
    """
    gates, hidden, inputs = len(dzs), dzs.shape[3], xs.shape[2]
    xs = rows(xs)
    count = len(xs)
    dzs = dzs.reshape(gates, count, hidden)
    grad = grad.reshape(gates, hidden, inputs)
    tall = next((size for size in (WIDE, NARROW) if hidden % size == 0), hidden)
    most = small_product()
    if not most or tall > MOST_TALL or inputs % NARROW or grad.size > MOST_IN_BLOCKS:
        np.matmul(dzs.swapaxes(1, 2), xs, out=grad)
        return
    sums = -(-count // min(most // (tall * NARROW), max(FEWEST_SUMMED, CACHED_ROWS // inputs)))
    at_once = max(1, 2 * CACHED_SUMS // (hidden * inputs))
    for gate in range(0, gates, at_once):
        total = grad[gate : gate + at_once]
        more = work.scratch("more_of_gradient", *total.shape) if sums > 1 else total
        for k in range(sums):
            span = slice(count * k // sums, count * (k + 1) // sums)
            some = dzs[gate : gate + at_once, span]
            left = some.reshape(len(some), -1, hidden // tall, tall).transpose(0, 2, 3, 1)
            right = xs[span].reshape(-1, inputs // NARROW, NARROW).swapaxes(0, 1)
            part = more if k else total
            blocks = part.reshape(len(some), hidden // tall, tall, inputs // NARROW, NARROW).swapaxes(2, 3)
            np.matmul(left[:, :, None], right, out=blocks)
            if k:
                np.add(total, more, out=total)
