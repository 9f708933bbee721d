"""Settings for networks of encoder and decoder, derived from the length of the text and the budget.

A window has one pair in each stream, so it has many streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS = ("hidden", "layers", "learning_rate", "warmup", "average", "batch", "dropout", "recurrent_dropout", "epochs")
SHORT: tuple[tuple[int, tuple[float, ...]], ...] = (
    (30_000, (64, 1, 0.01, 0.1, 0.98, 16, 0.3, 0.0, 100.0)),
    (300_000, (128, 1, 0.01, 0.1, 0.98, 32, 0.2, 0.0, 40.0)),
)
"""Maximum symbols of the training text -> values of SETTINGS for short texts."""
LONG: tuple[tuple[float, tuple[float, ...]], ...] = (
    (6.0, (128, 1, 0.012, 0.1, 0.98, 32, 0.0, 0.0)),
    (16.0, (192, 1, 0.012, 0.1, 0.99, 64, 0.1, 0.0)),
    (40.0, (256, 1, 0.012, 0.1, 0.99, 128, 0.2, 0.0)),
    (float("inf"), (384, 1, 0.01, 0.1, 0.995, 128, 0.3, 0.0)),
)
"""Maximum passes of the reference network over the text -> values of SETTINGS, without epochs, for long texts."""


def pair_recipe(passes: float, symbols: int) -> Mapping[str, Any]:
    """Return the settings of a network of encoder and decoder.

    Parameters
    ----------
    passes : float
        How often the reference network can read the text within the budget.
    symbols : int
        Length of the training text: of all sources and targets.
    """
    for max_symbols, values in SHORT:
        if symbols <= max_symbols:
            return dict(zip(SETTINGS, values, strict=True))
    values = next(values for max_passes, values in LONG if passes <= max_passes)
    return dict(zip(SETTINGS, values, strict=False))
