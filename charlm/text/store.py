"""Token ids on disk or in memory, in the smallest integers that hold them."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np

from charlm.arrays import Ids
from charlm.errors import ResourceError
from charlm.text.tuning import DEFAULT_TUNING, TextTuning


@contextmanager
def temporary_space() -> Iterator[None]:
    """Raise ResourceError, with the folder, for an OSError of a temporary file."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or os.environ.get("TMPDIR", "the temporary folder")
        raise ResourceError(
            f"{folder}: {error.strerror or error}; temporary files go there, set TMPDIR to a folder with more space"
        ) from error


class GrowingIds:
    """A sequence of ids that grows at its end; its integer type widens for larger ids. Close it after use."""

    def __init__(self, tuning: TextTuning = DEFAULT_TUNING) -> None:
        self.tuning = tuning
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(tuning.max_bytes_in_memory)  # noqa: SIM115
        self._runs: list[tuple[np.dtype[Any], int]] = []  # dtype and number of ids of each run, in order

    def __len__(self) -> int:
        return sum(count for _, count in self._runs)

    def append(self, ids: Ids) -> None:
        """Add ids at the end."""
        if not ids.size:
            return
        last, count = self._runs[-1] if self._runs else (np.dtype(np.uint8), 0)
        dtype = np.promote_types(np.min_scalar_type(int(ids.max())), last)
        with temporary_space():
            self._file.write(ids.astype(dtype).tobytes())
        if dtype == last:
            self._runs[-1:] = [(dtype, count + ids.size)]
        else:
            self._runs.append((dtype, ids.size))

    def chunks(self) -> Iterator[Ids]:
        """Yield the ids from the start, in chunks."""
        with temporary_space():  # seeking writes the buffer
            self._file.seek(0)
        for dtype, count in self._runs:
            for first in range(0, count, self.tuning.ids_per_chunk):
                size = min(self.tuning.ids_per_chunk, count - first)
                yield np.frombuffer(self._file.read(size * dtype.itemsize), dtype)

    def counts(self, size: int) -> Ids:
        """Return how often each id below `size` occurs, (size,)."""
        return sum((np.bincount(chunk, minlength=size) for chunk in self.chunks()), np.zeros(size, np.int64))

    def close(self) -> None:
        """Remove the temporary file; an error is ignored, because the content is discarded."""
        with suppress(OSError):
            self._file.close()


def store_ids(pieces: Iterable[Ids], size: int, max_id: int, tuning: TextTuning = DEFAULT_TUNING) -> Ids:
    """Return an array of ids, memory-mapped from a temporary file if it is large.

    On POSIX systems the file has no name: its space is freed with the array, even if the process is killed.

    Parameters
    ----------
    pieces : iterable of ndarray of int
        The array in pieces, in order.
    size : int
        Number of ids in all pieces.
    max_id : int
        Upper bound of the ids.
    tuning : TextTuning
        The size from which the array is mapped.

    Returns
    -------
    ndarray of int, (size,)
        The array, read-only if it is mapped.
    """
    dtype = np.min_scalar_type(max_id)
    narrow = (piece.astype(dtype) for piece in pieces)
    if size * dtype.itemsize <= tuning.max_bytes_in_memory:
        return np.concatenate(list(narrow))
    # Written through a map, all of the array would be in memory until it is on disk.
    with temporary_space(), tempfile.TemporaryFile() as file:
        for piece in narrow:
            file.write(piece.tobytes())
        file.flush()
        return np.memmap(file, dtype, "r", shape=(size,))


def release_pages(ids: Ids) -> None:
    """Return the memory of mapped pages to the operating system; they are read again when needed."""
    mapped = getattr(ids, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
