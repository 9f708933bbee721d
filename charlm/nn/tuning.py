"""Tuning constants of the networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NnTuning:
    """Sizes at which the layers change their algorithm, chosen by measurement."""

    max_cached_logits: int = 1 << 17
    """Logits that the head computes at a time, so that they stay in a core's cache."""
    min_head_rows: int = 256
    """Minimum rows that the head reads at a time: each time, the gradient of all its weights is accumulated."""
    max_chunk_values: int = 1 << 15
    """Values of one activation in a chunk of steps of the backward pass, so that they stay in a core's cache."""
    min_broadcast_values: int = 1 << 13
    """Values of one gate in a step from which NumPy broadcasts a factor faster than it reads a repeated one."""
    max_gathered_rows: int = 128
    """Rows of one id whose gradients are gathered at a time, so that they stay in a core's cache."""
    max_single_core_weights: int = 400_000
    """Weights up to which OpenBLAS multiplies a vector on one core, fastest with contiguous rows; beyond, on all
    cores, fastest with contiguous columns."""


DEFAULT_TUNING = NnTuning()
"""The instance that all functions use unless they are given another."""
