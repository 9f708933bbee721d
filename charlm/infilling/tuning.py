"""Tuning constants of filling gaps and of proof-reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EditTuning:
    """How edits of one kind are searched."""

    max_edits: int
    """Maximum number of edits of a window that are compared."""
    log_prior: float
    """Log-probability of one edit of this kind, relative to no change, in nats; fitted to slips in English lines.

    A wrong text has many substitutions and insertions, but few deletions and transpositions, so each of these is more
    probable. The prior also offsets the number of terms of a pseudo-log-likelihood, which an edit changes."""


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
    context: int = 12
    """Tokens on both sides of an edit whose probabilities decide its gain; more change gains by less than 0.1 nats."""
    substitution: EditTuning = EditTuning(64, -5.0)
    """Another token in place of one."""
    insertion: EditTuning = EditTuning(96, -3.0)
    """A token that is missing."""
    deletion: EditTuning = EditTuning(32, -4.0)
    """A token too many."""
    transposition: EditTuning = EditTuning(32, -1.0)
    """Two tokens that changed places."""
    max_proposals: int = 8
    """Maximum number of proposals for a word."""
    min_gain: float = 3.0
    """Gain above which `charlm proof` prints a suspect, in nats."""
    windows_per_batch: int = 64
    """Windows that are read at a time."""


DEFAULT_TUNING = InfillingTuning()
