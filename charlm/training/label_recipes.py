"""Settings for networks of labels, derived from the length of the text and the budget.

A label carries less information than a character, so a network of labels is smaller than a language model of the same
text, learns at a higher rate, and needs less dropout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.training.pair_recipes import pair_recipe

SETTINGS = ("hidden", "learning_rate", "warmup", "average", "batch", "dropout", "recurrent_dropout", "epochs")
SHORT: tuple[tuple[int, tuple[float, ...]], ...] = (
    (30_000, (64, 0.02, 0.1, 0.98, 8, 0.3, 0.0, 40.0)),
    (100_000, (96, 0.016, 0.1, 0.98, 16, 0.3, 0.2, 60.0)),
    (400_000, (128, 0.016, 0.1, 0.99, 16, 0.3, 0.3, 16.0)),
)
"""Maximum characters of the training text -> values of SETTINGS for short texts."""
LONG: tuple[tuple[float, tuple[float, ...]], ...] = (
    (3.0, (96, 0.02, 0.1, 0.98, 16, 0.0, 0.0)),
    (8.0, (128, 0.016, 0.1, 0.98, 16, 0.0, 0.0)),
    (16.0, (192, 0.016, 0.1, 0.99, 16, 0.2, 0.0)),
    (40.0, (256, 0.01, 0.1, 0.995, 16, 0.3, 0.2)),
    (float("inf"), (384, 0.008, 0.1, 0.997, 16, 0.4, 0.3)),
)
"""Maximum passes of the reference network over the text -> values of SETTINGS, without epochs, for long texts."""


def label_recipe(passes: float, characters: int, *, of_pairs: bool = False) -> Mapping[str, Any]:
    """Return the settings of a network of labels.

    Parameters
    ----------
    passes : float
        How often the reference network can read the text within the budget.
    characters : int
        Length of the training text.
    of_pairs : bool
        Whether the labels are those of the targets of pairs.
    """
    if of_pairs:
        return pair_recipe(passes, characters)
    for max_characters, values in SHORT:
        if characters <= max_characters:
            return dict(zip(SETTINGS, values, strict=True))
    values = next(values for max_passes, values in LONG if passes <= max_passes)
    return {"layers": 1, **dict(zip(SETTINGS, values, strict=False))}
