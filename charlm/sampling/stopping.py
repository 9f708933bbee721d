"""Detect the stop string of a text."""

from __future__ import annotations


class StopString:
    """Find the first end of a stop string in a text that arrives in pieces.

    stop: the string to find; None or "" is never found.
    """

    def __init__(self, stop: str | None) -> None:
        self._stop = stop or ""
        self._tail = ""

    def end_in(self, piece: str) -> int | None:
        """Read the next piece of the text; return the offset in it at which the stop string ends, or None."""
        if not self._stop:
            return None
        seen = self._tail + piece
        start = seen.find(self._stop)
        if start >= 0:
            return start + len(self._stop) - len(self._tail)
        self._tail = seen[-len(self._stop) :]
        return None
