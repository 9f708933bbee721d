"""Tuning constants of scoring."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoringTuning:
    """Sizes that determine the speed and the memory of scoring.

    The scores do not depend on them, except for rounding and for the tolerances of chunked scoring.
    """

    first_batch_texts: tuple[int, ...] = (1, 32)
    """Numbers of texts of the first batches; small, so that a slow source gets its first scores early."""
    max_batch_texts: int = 1 << 14
    """Maximum number of texts of a batch."""
    max_batch_characters: int = 1 << 21
    """Number of characters at which a batch is complete."""
    max_batch_state_values: int = 1 << 24
    """Maximum number of values in the states of all texts of a batch."""
    max_log_probs: int = 1 << 20
    """Maximum number of log-probabilities of a window of `score_characters`."""
    min_thread_multiplications: int = 1_000_000_000
    """Minimum number of multiplications of a batch per thread."""

    max_window_ids: int = 1 << 13
    """Maximum number of ids (T * B) of a window."""
    min_step_columns: int = 32
    """Number of columns from which computing all layers of a step is faster than all steps of a layer."""
    min_active_fraction: float = 0.9
    """Minimum fraction of the columns of a window that have not ended; below it, the window ends."""

    min_saved_rows: int = 64
    """Minimum number of rows that a step saves by reading each shared prefix once; otherwise windows follow."""
    min_saved_fraction: float = 0.1
    """Minimum fraction of the rows that a step saves by reading each shared prefix once."""

    min_chunked_characters: int = 1 << 13
    """Minimum length in characters of a text that is read in chunks."""
    max_chunks: int = 32
    """Maximum number of chunks that are read in parallel."""
    min_chunk_characters: int = 1 << 11
    """Minimum length of a chunk in characters."""
    max_chunk_characters: int = 1 << 13
    """Maximum length of a chunk in characters; a longer text is read as several blocks of chunks."""
    checkpoint_interval: int = 256
    """Steps between the stored states of a chunk, which are compared with the states of the next sweep."""
    state_tolerance: float = 4e-6
    """Maximum difference of two states, relative to 1 + their size, that counts as float32 rounding."""
    log_prob_tolerance: float = 2e-5
    """Maximum difference of two log-probabilities, in nats, that counts as float32 rounding of a state."""
    max_parallel_sweeps: int = 4
    """Number of sweeps that read all stale chunks; each later sweep reads only the first of them."""

    max_expanded: int = 4096
    """Maximum number of beginnings of words that the search for the next word reads."""
    beginnings_per_step: int = 16
    """Maximum number of beginnings of words that the search reads at once."""


DEFAULT_TUNING = ScoringTuning()
