"""Where a text ends because its stop string was drawn."""

from __future__ import annotations


class StopString:
    """Watches one text grow, piece by piece, for the first place where `stop` (not empty) is complete."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._tail = ""

    def completed_in(self, piece: str) -> int | None:
        """Read the next piece; return how much of it is before the end of `stop`, None if not there."""
        seen = self._tail + piece
        place = seen.find(self._stop)
        if place >= 0:
            return place + len(self._stop) - len(self._tail)
        self._tail = seen[-len(self._stop) :]
        return None
