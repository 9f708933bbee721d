"""Token ids on disk or in memory, in the smallest integers that hold them."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np

from charlm.arrays import Ids
from charlm.errors import ResourceError

IN_MEMORY = 32 << 20
"""Bytes of ids that are kept in memory; more go to a temporary file."""
AT_ONCE = 1 << 20
"""Ids that are handled at a time."""


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


def smallest_type(largest: int) -> np.dtype[Any]:
    """Return the smallest unsigned integer type that holds `largest`."""
    return np.min_scalar_type(largest)


class GrowingIds:
    """Ids in the order in which they come; the integers widen as larger ids turn up.

    Close it to remove what it keeps on disk.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._runs: list[tuple[np.dtype[Any], int]] = []  # dtype and number of ids, one run behind the other

    def __len__(self) -> int:
        return sum(count for _, count in self._runs)

    def append(self, ids: Ids) -> None:
        """Add ids at the end."""
        if not ids.size:
            return
        last = self._runs[-1] if self._runs else (np.dtype(np.uint8), 0)
        dtype = max(smallest_type(int(ids.max())), last[0], key=lambda kind: kind.itemsize)
        with temporary_space():
            self._file.write(ids.astype(dtype).tobytes())
        if self._runs and dtype == last[0]:
            self._runs[-1] = (dtype, last[1] + ids.size)
        else:
            self._runs.append((dtype, ids.size))

    def chunks(self) -> Iterator[Ids]:
        """Yield the ids from the start, a piece at a time."""
        with temporary_space():  # what is still in the buffer is written
            self._file.seek(0)
        for dtype, count in self._runs:
            for first in range(0, count, AT_ONCE):
                size = min(AT_ONCE, count - first)
                yield np.frombuffer(self._file.read(size * dtype.itemsize), dtype)

    def close(self) -> None:
        """Remove what is kept on disk."""
        close_unflushed(self._file)


class FixedIds:
    """An array of ids, memory-mapped from a temporary file when it is large. Close it to remove the file.

    pieces: of it, in order.  size: n, of all together.  largest: id among them.
    ids: (n,), an array like any other, not to be written to.
    """

    def __init__(self, pieces: Iterable[Ids], size: int, largest: int) -> None:
        dtype = smallest_type(largest)
        narrow = (piece.astype(dtype) for piece in pieces)
        self.ids: Ids
        if size * dtype.itemsize <= IN_MEMORY:
            self._file: IO[bytes] | None = None
            self.ids = np.concatenate(list(narrow))
        else:  # written rather than mapped, or all of it would be in memory until it is on the disk
            with temporary_space():
                self._file = tempfile.NamedTemporaryFile(prefix="charlm-", suffix=".ids")  # noqa: SIM115
                weakref.finalize(self, close_unflushed, self._file)
                for piece in narrow:
                    self._file.write(piece.tobytes())
                self._file.flush()
            self.ids = np.memmap(self._file, dtype, "r", shape=(size,))

    def release(self) -> None:
        """Let the operating system take back the memory of what was read; it is read again when needed."""
        mapped = getattr(self.ids, "_mmap", None)
        if mapped is not None and hasattr(mapped, "madvise"):
            import mmap

            mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Remove the file, if there is one."""
        if self._file is not None:
            close_unflushed(self._file)


def close_unflushed(file: IO[bytes]) -> None:
    """Close a temporary file; what a full disk did not take is lost, as the rest is."""
    with suppress(OSError):
        file.close()
