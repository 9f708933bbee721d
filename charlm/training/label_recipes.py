"""Settings for networks of labels, derived from the length of the text and the budget.

A label carries less information than a character, so a network of labels is smaller than a language model of the same
text, learns at a higher rate, and needs less dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS = ("hidden", "learning_rate", "warmup", "average", "batch", "dropout", "epochs")
SHORT: tuple[tuple[int, tuple[float, ...]], ...] = (
    (30_000, (64, 0.02, 0.1, 0.98, 8, 0.3, 40.0)),
    (100_000, (96, 0.016, 0.1, 0.98, 16, 0.3, 20.0)),
    (400_000, (128, 0.016, 0.1, 0.99, 16, 0.3, 12.0)),
)
"""Maximum characters of the training text -> values of SETTINGS for short texts."""
LONG: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.5, (64, 0.02, 0.1, 0.98, 16, 0.0)),
    (1.5, (128, 0.016, 0.1, 0.98, 16, 0.0)),
    (4.0, (192, 0.016, 0.1, 0.99, 16, 0.1)),
    (float("inf"), (256, 0.01, 0.1, 0.995, 16, 0.2)),
)
"""Maximum minutes at the reference speed -> values of SETTINGS, without epochs, for long texts."""


def label_recipe(minutes: float, characters: int) -> Mapping[str, Any]:
    """Return the settings for a budget, in minutes at the reference speed, and a length of the training text."""
    for max_characters, values in SHORT:
        if characters <= max_characters:
            return dict(zip(SETTINGS, values, strict=True))
    values = next(values for max_minutes, values in LONG if minutes <= max_minutes)
    return {"layers": 1, **dict(zip(SETTINGS, values, strict=False))}
