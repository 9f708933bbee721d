"""Tuning constants of sampling."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingTuning:
    """Sizes that determine the speed of sampling.

    The texts do not depend on them, except for rounding in batches of different sizes.
    """

    max_batch_texts: int = 256
    """Texts of a batch, at most."""
    min_thread_multiplications: int = 25_000_000
    """Multiplications of one step for which a thread is used, at least."""
    min_thread_texts: int = 64
    """Texts per thread, at least, where the BLAS packs the weights again for every product."""
    uniform_block: int = 64
    """Uniform random numbers that a stream generates at a time."""


DEFAULT_TUNING = SamplingTuning()
