"""Which lines a model has seen: a few bytes for each, kept in its file, so that copies can be told from inventions."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from charlm.arrays import Ids
from charlm.text.vocabulary import Vocabulary

MOST_LINES = 200_000
"""Lines that a model file remembers at most; 8 bytes each."""


def hash_of(line: str) -> int:
    """Return 64 bits of a line: BLAKE2b, so that two lines share them by chance once in 10^19 pairs."""
    return int.from_bytes(hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def lines_in(ids: Ids, vocabulary: Vocabulary) -> Iterator[str]:
    """Yield the lines of ids in which each ends with EOS; the first id is one, too."""
    ends = np.flatnonzero(np.asarray(ids) == vocabulary.eos)
    for start, end in zip(ends[:-1] + 1, ends[1:], strict=True):
        yield vocabulary.decode(ids[start:end].tolist())


def pack_hashes(lines: Iterable[str]) -> str:
    """Return the hashes of lines as text: sorted, compressed, base64."""
    hashes = np.array(sorted({hash_of(line) for line in lines}), "<u8")
    return base64.b64encode(zlib.compress(hashes.tobytes())).decode("ascii")


def unpack_hashes(packed: object) -> frozenset[int]:
    """Undo `pack_hashes`; nothing that is not such a text has any hashes in it."""
    if not isinstance(packed, str):
        return frozenset()
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(packed, validate=True), 8 * MOST_LINES)
    except (ValueError, zlib.error):  # binascii.Error is a ValueError
        return frozenset()
    return frozenset(np.frombuffer(data[: len(data) // 8 * 8], "<u8").tolist())
