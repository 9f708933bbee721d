"""Hashes of the training lines, kept in the model file: they show whether a text is a copy of a training line."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from charlm.arrays import Ids
from charlm.text.vocabulary import Vocabulary

MAX_LINES = 200_000
"""Maximum number of lines in a model file; 8 bytes each."""


def hash_of(text: str) -> int:
    """Return a 64-bit BLAKE2b hash; two texts collide with a probability of about 10^-19."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def lines_in(ids: Ids, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the lines of ids that begin with EOS and in which each line ends with EOS."""
    ends = np.flatnonzero(np.asarray(ids) == vocabulary.eos)
    for start, end in zip(ends[:-1] + 1, ends[1:], strict=True):
        yield vocabulary.decode(ids[start:end].tolist())


def pack_hashes(lines: Iterable[str]) -> str:
    """Return the hashes of lines as text: sorted, compressed, base64."""
    hashes = np.array(sorted({hash_of(line) for line in lines}), "<u8")
    return base64.b64encode(zlib.compress(hashes.tobytes())).decode("ascii")


def unpack_hashes(packed: object, max_lines: int = MAX_LINES) -> frozenset[int]:
    """Return the hashes that `pack_hashes` packed, at most `max_lines`; none if `packed` is damaged."""
    if not isinstance(packed, str):
        return frozenset()
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), 8 * max_lines)
    except (ValueError, zlib.error):  # binascii.Error is a ValueError
        return frozenset()
    return frozenset(np.frombuffer(data[: len(data) // 8 * 8], "<u8").tolist())
