"""Tuning constants of the kernels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelTuning:
    """Sizes of blocks and buffers, chosen by measurement."""

    max_small_product: int = 1_000_000
    """Multiplications up to which OpenBLAS packs no operand of a product, with AVX-512."""
    wide_block_columns: int = 64
    """Columns of a block of weights or rows of a block of a gradient."""
    narrow_block_columns: int = 32
    """The same, where wide blocks do not fit."""
    min_narrow_block_rows: int = 24
    """Rows of the other operand from which narrow blocks are as fast as wide ones."""
    max_block_rows: int = 240
    """Rows of the other operand beyond which a plain product is as fast as blocks."""
    min_small_product_rows: int = 12
    """Rows of a small product below which a plain product is as fast."""
    max_gradient_block_rows: int = 128
    """Rows of a gradient up to which it is one block, if its number of rows has no divisor 64 or 32."""
    max_blocked_gradient: int = 1 << 20
    """Values of a gradient up to which it is computed in blocks: the partial sums of larger ones take too long."""
    min_summed_rows: int = 240
    """Minimum rows of one partial sum of a gradient."""
    max_cached_values: int = 1 << 16
    """Values of the rows of one partial sum of a gradient, so that they stay in a core's cache."""
    max_cached_sums: int = 1 << 17
    """Values that are summed at a time, so that they stay in a core's cache."""
    cache_line_bytes: int = 64
    """Alignment of buffers: a vector register that crosses two lines loads twice as long."""
    min_aligned_bytes: int = 1 << 14
    """Size of a buffer from which alignment pays."""
    min_mapped_bytes: int = 1 << 20
    """Size of a buffer from which it has its own memory mapping, which returns to the system once it is freed."""


TUNING = KernelTuning()
"""The values in use."""
