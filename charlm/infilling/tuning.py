"""Tuning constants of filling gaps and of proof-reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InfillingTuning:
    """Sizes of windows and of searches. A larger search finds better readings and takes longer."""

    fill_window: int = 160
    """Tokens in which gaps are filled at a time."""
    proof_window: int = 192
    """Tokens that are examined at a time."""
    margin: int = 64
    """Tokens that are read on both sides of a window."""
    max_changes: int = 3
    """Maximum number of characters of a filled window that are replaced afterwards, one after the other."""
    context: int = 32
    """Tokens on both sides of a suspect whose probabilities decide between its candidates."""
    max_suspects: int = 16
    """Maximum number of suspects of a window."""
    max_candidates: int = 4
    """Maximum number of candidates for a suspect."""
    windows_per_batch: int = 64
    """Windows that are read at a time."""


DEFAULT_TUNING = InfillingTuning()
