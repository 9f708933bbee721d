"""Products with many rows: those of a whole window, and the sums over its rows that give gradients of weights.

They are cut into small products where OpenBLAS then packs no operand: see the package's docstring.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, split_evenly
from charlm.kernels.blas import max_small_product
from charlm.kernels.tuning import TUNING, KernelTuning
from charlm.kernels.workspace import Workspace, rows


def rows_at_once(weights: int, tuning: KernelTuning = TUNING) -> int:
    """Return how many rows to multiply by a matrix of `weights` values in one small product; 0 for all of them."""
    count = min(tuning.max_block_rows, max_small_product() // weights)
    return count if count >= tuning.min_small_product_rows else 0


def multiply_rows(xs: Array, matrix: Array, out: Array) -> Array:
    """Write xs (N, K) @ matrix (K, C) into `out` (N, C) and return it.

    A contiguous matrix of few weights is multiplied in small products.
    """
    inner, columns = matrix.shape
    block_rows = rows_at_once(matrix.size) if matrix.flags.c_contiguous else 0
    blocked = len(xs) // block_rows * block_rows if block_rows else 0
    if blocked:
        np.matmul(
            xs[:blocked].reshape(-1, block_rows, inner), matrix, out=out[:blocked].reshape(-1, block_rows, columns)
        )
    np.matmul(xs[blocked:], matrix, out=out[blocked:])
    return out


def write_gradient(dzs: Array, xs: Array, grad: Array, work: Workspace, tuning: KernelTuning = TUNING) -> None:
    """Write d loss / d W for z = W x: the sum of dz x^T over all steps and streams.

    Parameters
    ----------
    dzs : array (G, T, B, H)
        Each dzs[g] is contiguous.
    xs : array (T, B, K)
    grad : array (G*H, K)
        Overwritten.
    work : Workspace
        Holds the partial sums.
    tuning : KernelTuning
    """
    gates, hidden, inputs = len(dzs), dzs.shape[3], xs.shape[2]
    xs = rows(xs)
    dzs, grad = dzs.reshape(gates, len(xs), hidden), grad.reshape(gates, hidden, inputs)
    narrow = tuning.narrow_block_columns
    tall = next((size for size in (tuning.wide_block_columns, narrow) if hidden % size == 0), hidden)
    limit = max_small_product()
    if not limit or tall > tuning.max_gradient_block_rows or inputs % narrow or grad.size > tuning.max_blocked_gradient:
        np.matmul(dzs.swapaxes(1, 2), xs, out=grad)
        return
    max_rows = min(limit // (tall * narrow), max(tuning.min_summed_rows, tuning.max_cached_values // inputs))
    n_sums = -(-len(xs) // max_rows)
    gates_at_once = max(1, 2 * tuning.max_cached_sums // (hidden * inputs))
    for first in range(0, gates, gates_at_once):
        some, total = dzs[first : first + gates_at_once], grad[first : first + gates_at_once]
        partial = work.scratch("partial_gradient", *total.shape)
        for k, span in enumerate(split_evenly(0, len(xs), n_sums)):
            left = some[:, span].reshape(len(some), -1, hidden // tall, tall).transpose(0, 2, 3, 1)
            right = xs[span].reshape(-1, inputs // narrow, narrow).swapaxes(0, 1)
            out = partial if k else total
            blocks = out.reshape(len(some), hidden // tall, tall, inputs // narrow, narrow).swapaxes(2, 3)
            np.matmul(left[:, :, None], right, out=blocks)
            if k:
                total += partial
