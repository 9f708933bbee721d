"""Hold out a part of a text: stretches of running text or its end, or a random part of the lines."""

from __future__ import annotations

from collections.abc import Iterator

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



def split_lines(ids: GrowingIds, keys: Ids, valid: float, seed: int) -> tuple[GrowingIds, GrowingIds]:
    """ShardPlan lines, each ended by EOS, into a training and a held-out part; both begin with EOS.

    A line is held out if a hash of what it says, and of the seed, falls below `valid`: copies of a line
    fall together, and which lines these are does not depend on the other lines.
    keys: 64 random bits for each id.
    """
    train, held_out = GrowingIds(), GrowingIds()
    for part in (train, held_out):
        part.append(np.zeros(1, np.uint8))
    for lines in whole_lines(ids):
        ends = np.flatnonzero(lines == 0)
        starts = np.concatenate([[0], ends[:-1] + 1])
        held = (hash_lines(lines, starts, keys, seed) >> np.uint64(11)) * 2.0**-53 < valid
        which = np.repeat(held, ends - starts + 1)
        train.append(lines[~which])
        held_out.append(lines[which])
    if len(train) == 1:  # every line fell to the other side: a corpus of a few lines
        return held_out, train
    return train, held_out


def whole_lines(ids: GrowingIds) -> Iterator[Ids]:
    """Yield the ids behind the first EOS in pieces that end with an EOS."""
    rest = np.zeros(0, np.uint8)
    first = True
    for chunk in ids.chunks():
        piece = np.concatenate([rest, chunk[1:] if first else chunk])
        first = False
        ends = np.flatnonzero(piece == 0)
        cut = int(ends[-1]) + 1 if ends.size else 0
        if cut:
            yield piece[:cut]
        rest = piece[cut:]


def hash_lines(lines: Ids, starts: Ids, keys: Ids, seed: int) -> Ids:
    """Return 64 bits for each line: a polynomial in its tokens' keys, modulo 2^64, mixed with the seed.

    The mixing is the finaliser of SplitMix64 (Steele et al. 2014).
    """
    lengths = np.diff(np.append(starts, lines.size))
    places = np.arange(lines.size) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), 6364136223846793005, np.uint64))
    h = np.add.reduceat(keys[lines] * powers[places], starts)
    h = h + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Ids = h ^ (h >> np.uint64(31))
    return mixed
