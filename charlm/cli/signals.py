"""Ctrl-C, SIGTERM and SIGHUP: the first signal asks a run to stop, the second ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

KILLED = 128
"""Offset of the exit code from the number of the signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
HANG_UP = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that was closed; None on Windows."""
HANDLED = [number for number in (signal.SIGINT, signal.SIGTERM, HANG_UP) if number is not None]
"""Signals that stop a run."""


class Signals:
    """A context that handles the signals which stop a run.

    The first signal calls `stop`; without `stop` it raises KeyboardInterrupt. The second signal raises
    KeyboardInterrupt, the third ends the process. Signals that were ignored before, as by `nohup`, stay ignored.
    SIGHUP never counts as a second signal: the kernel and the shell both send it, and some send it with SIGTERM.

    Attributes
    ----------
    stop : asks the run to save and end; None while there is nothing to stop
    """

    def __init__(self) -> None:
        self.stop: Callable[[], None] | None = None
        self._received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        handled = [number for number in HANDLED if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        self._before = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            is_late = number == HANG_UP and self._received  # a further SIGHUP must not kill the process while it exits
            signal.signal(number, signal.SIG_IGN if is_late else handler)

    @property
    def exit_code(self) -> int:
        """Exit code of the process: 128 + the number of the last signal."""
        return KILLED + (self._received[-1] if self._received else signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == HANG_UP and self._received:
            return
        self._received.append(number)
        if len(self._received) > 2:
            os._exit(self.exit_code)
        if len(self._received) == 1 and self.stop is not None:
            self.stop()
            with suppress(OSError):  # not through sys.stderr, which the signal may have interrupted
                os.write(2, b"\ncharlm: stopping after this step; press Ctrl-C again to stop at once\n")
            return
        raise KeyboardInterrupt
