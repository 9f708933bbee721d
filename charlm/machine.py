"""Cores and memory that this process may use (affinity, limits of its control groups), and whether there is a GPU.

Linux puts a process into a tree of control groups; each group up to the root may have limits. Version 2 of control
groups has one tree, version 1 a tree for each controller; a machine may use both.

References
----------
The kernel's documentation, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from shutil import which

ROOT = Path("/")
"""Folder that contains `proc` and `sys`."""
UNLIMITED_BYTES = 1 << 60
"""Memory limit from which version 1 of control groups means no limit."""


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the number of cores in the affinity mask, or the CPU quota rounded up if that is lower.
    """
    quota = cpu_quota(root)
    return allowed_cores() if quota is None else max(1, min(allowed_cores(), math.ceil(quota)))


def allowed_cores() -> int:
    """Return the number of cores that this process may be scheduled on, without quotas."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache
def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the lowest CPU quota of the control groups in cores, None without one.

    The files are read once per process: reading them takes about as long as scoring a short text.
    """
    files: list[tuple[Path, ...]] = [(group / "cpu.max",) for group in groups_of(root, "")]
    files += [(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us") for group in groups_of(root, "cpu")]
    quotas = []
    for paths in files:
        with suppress(OSError, ValueError):  # "max 100000" means no quota
            quota, period = (int(number) for path in paths for number in path.read_text("ascii").split())
            if quota > 0:  # -1 means no quota
                quotas.append(quota / period)
    return min(quotas, default=None)


def has_nvidia_gpu(root: Path = ROOT) -> bool:
    """Return whether this machine seems to have a GPU of Nvidia, by its device files and programs."""
    return any((root / "dev").glob("nvidia[0-9]*")) or which("nvidia-smi") is not None


def free_group_memory(root: Path = ROOT) -> float | None:
    """Return the bytes that the control groups still allow, None without a limit; cached files count as free."""
    free = [_free_bytes(group, "memory.max", "memory.current", "") for group in groups_of(root, "")]
    free += [
        _free_bytes(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        for group in groups_of(root, "memory")
    ]
    return min((value for value in free if value is not None), default=None)


def groups_of(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, innermost first.

    Parameters
    ----------
    root : Path
        Folder that contains `proc` and `sys`.
    controller : str
        A controller of version 1, such as "cpu"; "" for version 2.

    Notes
    -----
    Folders may be missing: in a container the paths may be those of the host.
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
    """Return limit - usage + cached files of a group in bytes, None without a limit.

    limit, usage: names of files.  prefix: of the rows for cached files in `memory.stat`.
    """
    with suppress(OSError, ValueError, IndexError):
        max_bytes, used = (int((group / name).read_text("ascii")) for name in (limit, usage))
        if max_bytes < UNLIMITED_BYTES:
            rows = (line.split() for line in (group / "memory.stat").read_text("ascii").splitlines())
            cached = sum(int(row[1]) for row in rows if row[0] in (f"{prefix}active_file", f"{prefix}inactive_file"))
            return float(max_bytes - used + cached)
    return None
