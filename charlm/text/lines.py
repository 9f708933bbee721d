"""Which lines are held out: a random tenth, all copies of a line on the same side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charlm.arrays import Ids
from charlm.text.store import GrowingIds


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
