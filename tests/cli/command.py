"""Runs the installed command in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def charlm(*arguments: object, cwd: Path, stdin: bytes = b"", **environment: str) -> Outcome:
    """Run `charlm` in a folder and return its exit code, stdout and stderr."""
    env = {k: v for k, v in os.environ.items() if k != "CHARLM_MODEL"} | environment
    done = subprocess.run(
        [sys.executable, "-m", "charlm", *map(str, arguments)],
        cwd=cwd, input=stdin, capture_output=True, env=env, timeout=120, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the name and contents of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
