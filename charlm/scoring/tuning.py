"""Tuning constants of scoring."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoringTuning:
    """Sizes that determine the speed and the memory of scoring.

    The scores do not depend on them, except for rounding and for the tolerances of chunked scoring.
    """

    first_batch_texts: tuple[int, ...] = (1, 32)
    """Texts of the first batches, so that the scores of the first texts of a slow source are there early."""
    max_batch_texts: int = 1 << 14
    """Texts of a batch, at most."""
    max_batch_characters: int = 1 << 21
    """Characters of a batch after which it takes no further text."""
    max_batch_state_values: int = 1 << 24
    """Values in the hidden states of all texts of a batch, at most."""
    max_log_probs: int = 1 << 20
    """Log-probabilities of a window of `score_characters`, at most."""
    min_thread_multiplications: int = 1_000_000_000
    """Multiplications of a batch for which a thread is used, at least."""

    max_window_ids: int = 1 << 13
    """Ids (T * B) of a window, at most."""
    min_step_columns: int = 32
    """Columns of a window from which it is faster to compute all layers of a step than all steps of a layer."""
    min_active_fraction: float = 0.9
    """Fraction of the columns of a window that have not ended; below it, the window ends."""

    min_saved_rows: int = 64
    """Rows that reading each shared prefix once must save in a step, at least."""
    min_saved_fraction: float = 0.1
    """Fraction of the rows that reading each shared prefix once must save in a step, at least."""

    min_chunked_characters: int = 1 << 13
    """Characters of a text that is read in chunks, at least."""
    max_chunks: int = 32
    """Chunks that are read in parallel, at most."""
    min_chunk_characters: int = 1 << 11
    """Characters of a chunk, at least."""
    max_chunk_characters: int = 1 << 13
    """Characters of a chunk, at most; a longer text is read as several blocks of chunks."""
    checkpoint_interval: int = 256
    """Steps between the stored states of a chunk, which are compared with the states of the next sweep."""
    state_tolerance: float = 4e-6
    """Difference of two states, relative to 1 + their size, that counts as float32 rounding."""
    log_prob_tolerance: float = 2e-5
    """Difference of two log-probabilities, in nats, that counts as float32 rounding of a state."""
    max_parallel_sweeps: int = 4
    """Sweeps that read all stale chunks again; each later sweep reads only the first of them."""


DEFAULT_TUNING = ScoringTuning()
