"""Tuning constants of the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageTuning:
    """How much a page computes and holds."""

    alternatives: int = 5
    """Alternatives of each character."""
    cells_per_property: int = 3
    """Ranked cells of each property."""
    max_cell_values: int = 330_000
    """Activations and gate values of all cells on a page; a value takes 4/3 bytes in the file."""
    expected_length: int = 20
    """Characters that the model writes from each position."""
    max_expected_multiplications: int = 12_000_000_000
    """Multiplications of writing them; they limit the number of positions."""
    saliency_back: int = 60
    """Characters before a character whose saliency is shown."""
    max_saliency_multiplications: int = 6_000_000_000
    """Multiplications of measuring saliency; they limit the number of characters."""
    max_saliency_characters: int = 250
    """Characters whose saliency is shown, at most."""
    gradient_back: int = 64
    """Steps back of the gradient flow."""
    gradient_positions: int = 20
    """Positions over which the gradient flow is averaged."""
    max_slow_gradient: int = 1_000_000
    """Parameters above which the gradient flow has half the steps and a quarter of the positions."""
    max_log_rows: int = 400
    """Rows of the training log."""


DEFAULT_TUNING = PageTuning()
