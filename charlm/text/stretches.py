"""How much of a text is held out, and which part of running text: stretches spread over it, or its end."""

from __future__ import annotations

import numpy as np

from charlm.arrays import Ids, Mask
from charlm.text.store import GrowingIds

MOST, FEWEST = 50, 10
"""Stretches that are spread over a text. Where there are no FEWEST of them, the end is held out."""
SHORTEST = 500
"""Characters of a stretch, at least."""


def held_out_fraction(characters: int) -> float:
    """Return the share of a text that is held out if nobody says: a tenth, or what is enough to compare weights by."""
    return min(0.1, max(10_000 / characters, 0.02))


def split_text(ids: GrowingIds, valid: float, held_out: str) -> tuple[GrowingIds, GrowingIds]:
    """Cut running text in a training part and a held-out part; both begin with EOS.

    valid: share that is held out.  held_out: "end", or "spread": a text that ends with another play than it
    began with is learned whole, and what is held out is like all of it.
    At least one character is left to learn from.
    """
    size, characters = len(ids), len(ids) - 2
    stretches = min(MOST, int(valid * characters) // SHORTEST)
    end = size
    if held_out == "spread" and stretches >= FEWEST:
        period = characters // stretches
        length = int(valid * period)
        first = 1 + (period - length) // 2
    else:
        first = 1 + max(1, int((1 - valid) * characters + 1e-6)) if valid else size
        period, length, stretches = size, size, 1
        end = size - 1 if valid else size  # where the end is held out, nothing ends there
    train, aside = GrowingIds(), GrowingIds()
    start = 0
    for chunk in ids.chunks():
        places = np.arange(start, start + chunk.size)
        start += chunk.size
        held = is_held(places, first, period, length, stretches)
        if held.any() and not len(aside):
            aside.append(np.zeros(1, np.uint8))
        train.append(chunk[~held & (places < end)])
        aside.append(chunk[held & (places < end)])
    return train, aside


def is_held(places: Ids, first: int, period: int, length: int, stretches: int) -> Mask:
    """For each place, whether it falls into one of the stretches: `length` places every `period` from `first` on."""
    behind = places - first
    held: Mask = (behind >= 0) & (behind % period < length) & (behind // period < stretches)
    return held
