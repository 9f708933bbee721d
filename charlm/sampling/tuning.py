"""Tuning constants of sampling."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingTuning:
    """Sizes that determine the speed of sampling.

    The texts do not depend on them, except for rounding in batches of different sizes.
    """

    max_batch_texts: int = 256
    """Maximum number of texts of a batch."""
    min_thread_multiplications: int = 20_000_000
    """Minimum number of multiplications of a step per thread."""
    min_thread_texts: int = 64
    """Minimum number of texts per thread where the BLAS packs the weights again for every product."""
    uniform_block: int = 64
    """Uniform random numbers that a stream generates at a time."""

    max_expression_states: int = 20_000
    """Maximum number of states of the automaton of one expression."""
    max_transitions: int = 5_000_000
    """Maximum number of transitions, states times tokens, of the automaton of all expressions."""
    max_exact_draws: int = 100_000
    """Number of texts without an accepted one after which exact sampling stops."""


DEFAULT_TUNING = SamplingTuning()
