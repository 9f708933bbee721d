"""Tuning constants of the diagnostics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DiagnosticsTuning:
    """Length of the context, size of the batches, and rarity of properties."""

    warm_up_steps: int = 96
    """Tokens that are read before those whose gradients are measured."""
    max_window_values: int = 1 << 24
    """Approximate maximum number of values of a batch of windows."""
    min_examples: int = 20
    """Characters with a property, and without it, that each half of a text must have for the property to be ranked."""


DEFAULT_TUNING = DiagnosticsTuning()
