"""Ctrl-C, SIGTERM and SIGHUP: the first is a request, the second an order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

KILLED = 128
"""Added to the number of a signal, this is the exit code: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
HANG_UP = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that goes away; Windows has none."""
HANDLED = [number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP) if number is not None]
"""Signals that stop a run."""


class Signals:
    """While this context lasts, the first signal calls `stop`, if there is something to stop; else it ends the work.

    The second raises KeyboardInterrupt wherever the work is, the third ends the process there and then.
    A signal that was ignored before, as by `nohup`, stays ignored. SIGHUP is never the second: the kernel and the shell
    both send it, and some send it along with SIGTERM.
    stop: asks the work to save and end.  exit_code: after a signal; the last one counts.
    """

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        self._received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        heeded = [number for number in HANDLED if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        self._before = {number: signal.signal(number, self._handle) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            is_late = number == HANG_UP and self._received  # another one must not kill what is about to exit
            signal.signal(number, signal.SIG_IGN if is_late else handler)

    @property
    def exit_code(self) -> int:
        """128 + the number of the signal."""
        return KILLED + (self._received[-1] if self._received else signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == HANG_UP and self._received:
            return
        self._received.append(number)
        if len(self._received) > 2:
            os._exit(self.exit_code)
        if len(self._received) == 1 and self.stop is not None:
            self.stop()
            with suppress(OSError):  # written past sys.stderr, which may be at work just now
                os.write(2, b"\ncharlm: stopping after this step; once more to leave at once\n")
            return
        raise KeyboardInterrupt
