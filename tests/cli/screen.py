"""A terminal to run the command on."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path


def heed_ctrl_c() -> None:
    """Undo what a shell does to jobs in the background: they ignore Ctrl-C, and so would all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Screen:
    """`charlm` in a process whose stdout and stderr are a terminal of 80 columns; a context."""

    def __init__(self, *arguments: object, cwd: Path, columns: int = 120) -> None:
        self.shown = ""
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charlm", *map(str, arguments)],
            cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=heed_ctrl_c,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read_until(self, text: str | None, seconds: float = 60) -> str:
        """Return all that was shown once it holds `text`, or for None once the process has ended."""
        deadline = time.monotonic() + seconds
        while text is None or text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown!r}"
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # Linux: the other side is closed
                piece = b""
            if not piece:
                assert text is None, f"{text!r} was not shown: {self.shown!r}"
                break
            self.shown += piece.decode("utf-8", "replace")
        return self.shown

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        self.read_until(None)
        return self.process.wait(timeout=60)
