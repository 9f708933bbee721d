"""What this process may use of the machine: its cores, and the limits of its control groups (containers, services).

Linux puts a process into a tree of control groups, and each group up to the root may have limits. The second version
of them has one tree, the first a tree for each controller; a machine may have both.
Source: the kernel's documentation, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Root of the file system that `/proc` and `/sys` are read from."""
UNLIMITED_BYTES = 1 << 60
"""Memory limit from which on the first version of control groups means none."""


def usable_cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use, at least 1.

    It is the number of cores in its affinity mask, or the CPU quota of its control groups, rounded up, if that is
    less.  root: where `proc` and `sys` are.
    """
    quota = cpu_quota(root)
    return allowed_cores() if quota is None else max(1, min(allowed_cores(), math.ceil(quota)))


def allowed_cores() -> int:
    """Return the number of cores that this process may be scheduled on, quotas aside."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache
def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the CPU quota of the control groups in cores, None without one.

    It is read once: a call that scores a short text takes about as long as reading it.
    """
    quotas = []
    for group in groups_of(root, ""):
        with suppress(OSError, ValueError):  # "max 100000" is no number
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            quotas.append(int(quota) / int(period))
    for group in groups_of(root, "cpu"):
        with suppress(OSError, ValueError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
            if int(quota) > 0:  # -1 is none
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def free_group_memory(root: Path = ROOT) -> float | None:
    """Return how many bytes the control groups still allow, None without a limit; cached files count as free."""
    left = [_free_bytes(group, "memory.max", "memory.current", "") for group in groups_of(root, "")]
    left += [
        _free_bytes(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        for group in groups_of(root, "memory")
    ]
    return min((value for value in left if value is not None), default=None)


def groups_of(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, the innermost first.

    controller: of the first version, such as "cpu"; "" for the second version.
    In a container, where the path may be that on the host, folders that are missing are to be passed over.
    """
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controller not in controllers.split(","):
                continue
            mounts = (controllers, controller) if controller else ("", "unified")
            inner = PurePosixPath(*(part for part in path.split("/") if part not in ("", "..")))
            for mount in dict.fromkeys(mounts):
                for folder in (inner, *inner.parents):
                    yield root / "sys/fs/cgroup" / mount / folder


def _free_bytes(group: Path, limit: str, usage: str, prefix: str) -> float | None:
    """Return what a group's limit leaves, in bytes.  limit, usage: names of files.  prefix: of the rows for caches."""
    with suppress(OSError, ValueError, IndexError):
        most = int((group / limit).read_text(encoding="ascii"))
        if most >= UNLIMITED_BYTES:
            return None
        taken = int((group / usage).read_text(encoding="ascii"))
        rows = (line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        cached = sum(int(row[1]) for row in rows if row[0] in (f"{prefix}active_file", f"{prefix}inactive_file"))
        return float(most - taken + cached)
    return None
