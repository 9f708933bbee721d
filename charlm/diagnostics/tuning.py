"""Tuning constants of measuring gradients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DiagnosticsTuning:
    """Length of the context and size of the batches."""

    warm_up_steps: int = 96
    """Tokens that are read before those whose gradients are measured."""
    max_window_values: int = 1 << 24
    """Approximate maximum number of values of a batch of windows."""


DEFAULT_TUNING = DiagnosticsTuning()
