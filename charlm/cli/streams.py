"""Replaces closed standard streams and tolerates failing ones, so that they never end a run."""

from __future__ import annotations

import io
import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""Names in `sys` and modes of descriptors 0, 1 and 2."""


class TolerantFile(io.FileIO):
    """A file that drops what it cannot write, and reports the gap when a write succeeds again."""

    _problem = ""

    def write(self, data: object, /) -> int:
        """Write bytes, or drop them if that fails; return their number.

        There is no buffer: a signal that interrupts a write would leave bytes in it that are written again at exit.
        """
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        try:
            if self._problem:
                super().write(f"\ncharlm: lines are missing here: {self._problem}\n".encode())
                self._problem = ""
            written = 0
            while written < view.nbytes and (count := super().write(view[written:])):  # None: the write would block
                written += count
        except OSError as error:
            self._problem = error.strerror or str(error)
        return view.nbytes


def prepare_streams() -> None:
    """Open the null device for closed descriptors, encode output as UTF-8, and make stderr tolerant.

    Otherwise the next file that is opened gets the number of a closed descriptor, and receives the printed output.
    """
    for descriptor, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is `descriptor`
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if os.name == "posix" and sys.stderr is sys.__stderr__:
        raw = TolerantFile(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a byte of an argument that is not UTF-8 becomes \udcXX, as in JSON
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def flush_output() -> bool:
    """Flush standard output; return whether that succeeded. If not, drop its buffer, which would fail again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
