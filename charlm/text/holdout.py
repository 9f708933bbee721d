"""Hold out a part of a text: blocks of running text or its end, or a random part of the lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Ids, Mask
from charlm.text.store import GrowingIds
from charlm.text.tuning import TextTuning


@dataclass(frozen=True)
class HoldOut:
    """Which part of a text is held out.

    Attributes
    ----------
    fraction : float or None
        The fraction of the text, in [0, 1); None for `held_out_fraction`.
    position : {"end", "spread"}
        Where running text is held out: its end, or blocks spread over it.
    seed : int
        Decides which lines are held out.
    """

    fraction: float | None = None
    position: str = "end"
    seed: int = 0


def held_out_fraction(characters: int) -> float:
    """Return the default fraction: a tenth of a short text, at least 2 % of a long one, 10,000 characters between."""
    return min(0.1, max(10_000 / characters, 0.02))


def split_text(ids: GrowingIds, fraction: float, position: str, tuning: TextTuning) -> tuple[GrowingIds, GrowingIds]:
    """Split running text into a training part and a held-out part; both begin with EOS.

    At least one character is left for training.

    Parameters
    ----------
    ids : GrowingIds
        The text between two EOS.
    fraction : float
        The held-out fraction, in [0, 1).
    position : {"end", "spread"}
        With "spread", each block is in the middle of one of the equal periods of the text, so that the held-out
        part is like the whole. A text that is too short for that holds out its end.
    tuning : TextTuning
        Number and length of the blocks.
    """
    size, characters = len(ids), len(ids) - 2
    blocks = min(tuning.max_blocks, int(fraction * characters) // tuning.min_block_tokens)
    end = size
    if position == "spread" and blocks >= tuning.min_blocks:
        period = characters // blocks
        length = int(fraction * period)
        first = 1 + (period - length) // 2
    else:
        period, length, blocks, first = size, size, 1, size
        if fraction:
            first = 1 + max(1, int((1 - fraction) * characters + 1e-6))
            end = size - 1  # the text was cut, so neither part ends with EOS
    train, held_out = GrowingIds(ids.tuning), GrowingIds(ids.tuning)
    start = 0
    for chunk in ids.chunks():
        indices = np.arange(start, start + chunk.size)
        start += chunk.size
        is_held_out = in_blocks(indices, first, period, length, blocks)
        if is_held_out.any() and not len(held_out):
            held_out.append(np.zeros(1, np.uint8))
        train.append(chunk[~is_held_out & (indices < end)])
        held_out.append(chunk[is_held_out & (indices < end)])
    return train, held_out


def in_blocks(indices: Ids, first: int, period: int, length: int, blocks: int) -> Mask:
    """Return whether each index is in one of the blocks: `length` indices every `period`, starting at `first`."""
    offsets = indices - first
    inside: Mask = (offsets >= 0) & (offsets % period < length) & (offsets // period < blocks)
    return inside


def split_lines(ids: GrowingIds, token_keys: Ids, fraction: float, seed: int) -> tuple[GrowingIds, GrowingIds]:
    """Split lines, each ended by EOS, into a training part and a held-out part; both begin with EOS.

    A line is held out if a hash of its text and of the seed is below `fraction`. So all copies of a line are in one
    part, and the part of a line does not depend on the other lines.

    Parameters
    ----------
    ids : GrowingIds
        EOS, and the lines.
    token_keys : ndarray of uint64, (tokens,)
        64 random bits for each id.
    fraction : float
        The held-out fraction, in [0, 1).
    seed : int
        Seed of the hash.
    """
    train, held_out = GrowingIds(ids.tuning), GrowingIds(ids.tuning)
    for part in (train, held_out):
        part.append(np.zeros(1, np.uint8))
    for lines in line_chunks(ids):
        ends = np.flatnonzero(lines == 0)
        starts = np.concatenate([[0], ends[:-1] + 1])
        is_held_out = (hash_lines(lines, starts, token_keys, seed) >> np.uint64(11)) * 2.0**-53 < fraction
        of_token = np.repeat(is_held_out, ends - starts + 1)
        train.append(lines[~of_token])
        held_out.append(lines[of_token])
    if len(train) == 1:  # all of a few lines were held out
        return held_out, train
    return train, held_out


def line_chunks(ids: GrowingIds) -> Iterator[Ids]:
    """Yield the ids after the first EOS in chunks that end with EOS."""
    held: list[Ids] = []
    for n, chunk in enumerate(ids.chunks()):
        chunk = chunk[1:] if n == 0 else chunk
        ends = np.flatnonzero(chunk == 0)
        if ends.size:
            yield np.concatenate([*held, chunk[: ends[-1] + 1]])
            held, chunk = [], chunk[ends[-1] + 1 :]
        held.append(chunk)


def hash_lines(lines: Ids, starts: Ids, token_keys: Ids, seed: int) -> Ids:
    """Return 64 bits for each line: a polynomial in its tokens' keys, modulo 2^64, mixed with the seed.

    The mixing is the finaliser of SplitMix64 (Steele et al. 2014).
    """
    lengths = np.diff(np.append(starts, lines.size))
    indices = np.arange(lines.size) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), 6364136223846793005, np.uint64))
    h = np.add.reduceat(token_keys[lines] * powers[indices], starts)
    h = h + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Ids = h ^ (h >> np.uint64(31))
    return mixed
