"""Standard streams that are closed, full or gone: they are replaced or tolerated, so that none ends a run."""

from __future__ import annotations

import io
import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""Names in `sys` and modes of descriptors 0, 1 and 2."""


class TolerantFile(io.FileIO):
    """A descriptor whose failing writes are dropped; a line reports them once writing works again."""

    _problem = ""

    def write(self, data: object, /) -> int:
        """Write bytes, or drop them if they cannot be written; return their number.

        Nothing is buffered: a signal that ends a write must not leave bytes that are written again at exit.
        """
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        try:
            if self._problem:
                super().write(f"\ncharlm: lines are missing here: {self._problem}\n".encode())
                self._problem = ""
            written = 0
            while written < view.nbytes and (count := super().write(view[written:])):  # None: it must not wait
                written += count
        except OSError as error:
            self._problem = error.strerror or str(error)
        return view.nbytes


def prepare_streams() -> None:
    """Open the null device for closed descriptors, write UTF-8, and let stderr drop what cannot be written.

    A closed descriptor would be the number of the next file that is opened, which then gets what is printed.
    """
    for descriptor, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if os.name == "posix" and sys.stderr is sys.__stderr__:
        raw = TolerantFile(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a byte of an argument that is not UTF-8 becomes \udcXX, which is also how JSON escapes it
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def flush_output() -> bool:
    """Flush standard output; return whether that worked. If not, drop its buffer, which would fail again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
