"""What PyTorch is to do with this machine's memory, and what it says when there is none left."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from charlm.errors import ResourceError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt: from how many free bytes on memory is given back; from how many on it is mapped."""


def keep_memory() -> None:
    """Have the C library keep what is freed: where it gives memory back, each step pays for new pages.

    Does nothing where it is not glibc.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_THRESHOLD, 1 << 30)
            mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


@contextmanager
def as_resource_errors() -> Iterator[None]:
    """Turn what PyTorch raises, for lack of memory or of a rank, into an error of one line."""
    try:
        yield
    except RuntimeError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(f"PyTorch cannot go on, or another rank has ended: {why}") from error
