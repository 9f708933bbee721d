"""Peak memory of a process and its children. Shared pages count once (proportional set size, Linux)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def peak_memory(arguments: list[str]) -> float:
    """Run Python with these arguments; return the peak memory of it and its children, in MB."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(proportional_set_size(pid) for pid in process_tree(process.pid)))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode() if process.stderr else "failed")
    return peak / 1024


def process_tree(pid: int) -> list[int]:
    """Return a process id and the ids of all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(descendant for child in children for descendant in process_tree(int(child)))]


def proportional_set_size(pid: int) -> int:
    """Return the memory of a process in kB, 0 if it has exited."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
