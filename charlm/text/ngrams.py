"""Hashes of the n-grams of characters of a text, computed for all positions at once.

    hash(c_1 ... c_n) = sum over k of v(c_k) B^(n-k)    modulo 2^64

v is a permutation of the 64-bit integers, so that two different n-grams have equal hashes with a probability of about
2^-64.

References
----------
Karp & Rabin 1987, Efficient randomized pattern-matching algorithms. The permutation is that of SplitMix64 (Steele, Lea
& Flood 2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from charlm.text.vocabulary import code_points

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
BASE = 0xD1342543DE82EF95
"""B, an odd number."""
MASK = (1 << 64) - 1
NONE, SEVERAL = -1, -2
"""What an `NgramSet` has in place of a number where no n-gram or several n-grams have the first bits of a hash."""


def character_values(text: str) -> Hashes:
    """Return v(c) of each character, (n,)."""
    z = code_points(text).astype(np.uint64) + np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = z ^ (z >> np.uint64(31))
    return mixed


def ngram_hashes(values: Hashes, n: int) -> Hashes:
    """Return the hash of the n-gram at each position, (N - n + 1,), from the values of N characters; n is 1 or more."""
    if n == 1:
        return values
    half = n // 2
    first = ngram_hashes(values, half)
    count = max(0, len(values) - n + 1)
    second = first if n == 2 * half else ngram_hashes(values, n - half)
    joined: Hashes = first[:count] * power(n - half) + second[half : half + count]
    return joined


def power(n: int) -> np.uint64:
    """Return B^n modulo 2^64."""
    return np.uint64(pow(BASE, n, MASK + 1))


class NgramSet:
    """The distinct n-grams of a part of a text, for one n.

    hashes : those of the n-grams.  spare_bits : size of the table; more is faster where most n-grams are looked up.
    """

    def __init__(self, hashes: Hashes, spare_bits: int) -> None:
        self.unique, self.counts = np.unique(hashes, return_counts=True)
        self.is_seen = np.zeros(len(self.unique), bool)
        bits = min(22, max(10, len(self.unique).bit_length() + spare_bits))
        self._shift = np.uint64(64 - bits)
        slots = (self.unique >> self._shift).astype(np.intp)
        self._numbers: Indices = np.full(1 << bits, NONE, np.int32)  # by the first bits of a hash
        self._numbers[slots] = np.arange(len(slots))
        self._numbers[slots[1:][slots[1:] == slots[:-1]]] = SEVERAL

    def find(self, hashes: Hashes) -> tuple[Indices, Indices]:
        """Return the indices of the hashes that are among the n-grams, and the number of the n-gram of each."""
        numbers = self._numbers[(hashes >> self._shift).astype(np.intp)]
        candidates = np.flatnonzero(numbers != NONE)
        numbers, hashes = numbers[candidates], hashes[candidates]
        several = np.flatnonzero(numbers == SEVERAL)
        numbers[several] = np.minimum(np.searchsorted(self.unique, hashes[several]), len(self.unique) - 1)
        is_equal = self.unique[numbers] == hashes
        return candidates[is_equal], numbers[is_equal]
