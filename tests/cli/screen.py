"""Runs the command, or another program, on a pseudo-terminal."""

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
from collections.abc import Mapping, Sequence
from pathlib import Path


def accept_ctrl_c() -> None:
    """Reset SIGINT: a shell makes background jobs, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Screen:
    """A context that runs `charlm`, or another program, in a process with a terminal as stdin, stdout and stderr."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        columns: int = 120,
        program: Sequence[str] = (sys.executable, "-m", "charlm"),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.shown = ""
        self._master, slave = os.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=accept_ctrl_c,
        )  # fmt: skip
        os.close(slave)

    def resize(self, columns: int) -> None:
        """Set the width of the terminal; the process gets SIGWINCH."""
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read_until(self, text: str | None, seconds: float = 60) -> str:
        """Return the output when it contains `text`, or for None when the process has ended."""
        deadline = time.monotonic() + seconds
        while text is None or text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown!r}"
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # Linux: the process has closed the terminal
                piece = b""
            if not piece:
                assert text is None, f"{text!r} was not shown: {self.shown!r}"
                break
            self.shown += piece.decode("utf-8", "replace")
        return self.shown

    def type(self, keys: str) -> None:
        """Write keys to the program."""
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Wait for the end of the process; return its exit code."""
        self.read_until(None)
        return self.process.wait(timeout=60)
