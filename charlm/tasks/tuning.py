"""Tuning constants of the tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskTuning:
    """Sizes of windows and batches, and counts of labels."""

    window: int = 384
    """Characters whose labels are predicted in a window."""
    margin: int = 64
    """Characters that are read on both sides of a window."""
    windows_per_batch: int = 32
    """Windows that are read at a time."""
    first_texts: int = 16
    """Texts of the first batch that is classified; each further batch has four times as many."""
    texts_per_batch: int = 4096
    """Texts that are classified at a time, at most."""
    sentences_per_batch: int = 1024
    """Sentences that are tagged at a time, at most."""
    max_hypotheses: int = 512
    """Beginnings of targets that a beam search extends at a time."""
    max_source_length: int = 2000
    """Characters of a source that are read."""
    max_source_ids: int = 1 << 15
    """Ids of sources, with their padding, that are read at a time."""
    min_target_limit: int = 50
    """Maximum length of the target of an empty source."""
    target_factor: int = 4
    """Increase of the maximum length of a target with each character of its source."""
    min_label_count: int = 3
    """Occurrences of a label in a long text below which it is not learned."""
    words_in_memory: int = 10_000
    """Words whose forms are kept in memory as numbers."""
    occurrence_weight: float = 100.0
    """Weight that each occurrence of a form of a word adds to the weight 1 of a form that never occurs."""


DEFAULT_TUNING = TaskTuning()
"""The instance that the classes of this package use unless they are given another."""
