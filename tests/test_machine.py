"""Usable cores and memory of a process: affinity and control groups, on generated file trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charlm import machine
from charlm.machine import allowed_cores, cpu_quota, free_group_memory, has_nvidia_gpu, usable_cores


def make_tree(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write `proc/self/cgroup` and files below `sys/fs/cgroup`; return the root of the tree."""
    for path, content in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content + "\n")
    return root


def version_1(quota: int, period: int = 100_000, folder: str = "cpu") -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": str(period)}


HYBRID = "4:memory:/a/b\n2:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/u"


@pytest.mark.parametrize(
    ("files", "program", "expected"),
    [(["nvidia0"], None, True), (["nvidia-caps"], None, False), ([], "/usr/bin/nvidia-smi", True), ([], None, False)],
)
def test_gpu_is_found_by_its_device_file_or_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], program: str | None, expected: bool
) -> None:
    (tmp_path / "dev").mkdir()
    for name in files:
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr("charlm.machine.which", lambda name: program)
    assert has_nvidia_gpu(tmp_path) is expected


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/", {}, None),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "20000 100000"}, 0.2),
        ("0::/a/b/c", {"a/b/c/cpu.max": "300000 50000"}, 6),
        ("0::/a/b/c", {"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000", "a/cpu.max": "800000 100000"}, 4),
        ("0::/a/b/c", {"a/b/c/cpu.max": "900000 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/on/the/host", {"cpu.max": "300000 100000"}, 3),
        ("0::/../../a", {"a/cpu.max": "500000 100000"}, 5),
        ("0::/a", {"b/cpu.max": "500000 100000"}, None),
        (HYBRID, {"unified/u/cpu.max": "700000 100000"}, 7),
        (HYBRID, version_1(-1), None),
        (HYBRID, version_1(250_000), 2.5),
        (HYBRID, version_1(250_000, 50_000, "cpu/a/b"), 5),
        (HYBRID, version_1(250_000, 50_000, "cpu,cpuacct/a"), 5),
        (HYBRID, version_1(-1, folder="cpu/a/b") | version_1(300_000, folder="cpu/a"), 3),
        (HYBRID, version_1(300_000, folder="cpuset/a/b"), None),
        (HYBRID, version_1(300_000) | {"unified/u/cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "what is this"}, None),
        ("no colons\n0::/", {"cpu.max": "100000 0"}, None),
    ],
)
def test_cpu_quota_is_the_lowest_of_all_groups(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(make_tree(tmp_path, groups, files)) == quota


@pytest.mark.parametrize(("quota", "cores"), [("max", 8), ("1", 1), ("100001", 2), ("250000", 3), ("900000", 8)])
def test_usable_cores_are_the_minimum_of_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr(machine, "allowed_cores", lambda: 8)
    assert usable_cores(make_tree(tmp_path, "0::/", {"cpu.max": f"{quota} 100000"})) == cores


def test_cpu_quota_is_read_once(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "0::/", {"cpu.max": "300000 100000"})
    assert cpu_quota(root) == 3
    (root / "sys/fs/cgroup/cpu.max").unlink()
    assert cpu_quota(root) == 3


def test_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert free_group_memory(tmp_path) is None
    assert usable_cores(tmp_path) == allowed_cores()


def test_allowed_cores_follow_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    assert allowed_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert allowed_cores() == 64
    monkeypatch.setattr(os, "process_cpu_count", lambda: 2, raising=False)  # Python 3.13
    assert allowed_cores() == 2


@pytest.mark.parametrize("call", ["process_cpu_count", "cpu_count"])
def test_allowed_cores_of_an_unknown_system_are_one(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, call, lambda: None, raising=False)
    assert allowed_cores() == 1


def memory_2(limit: str, used: int, folder: str = "") -> dict[str, str]:
    stat = "anon 300000\nactive_file 250000\ninactive_file 150000\ntotal_active_file 7"
    return {f"{folder}memory.max": limit, f"{folder}memory.current": str(used), f"{folder}memory.stat": stat}


def memory_1(limit: int, used: int, folder: str = "memory/") -> dict[str, str]:
    stat = "active_file 1\ninactive_file 2\ntotal_active_file 250000\ntotal_inactive_file 150000\ntotal_rss 9"
    return {
        f"{folder}memory.limit_in_bytes": str(limit),
        f"{folder}memory.usage_in_bytes": str(used),
        f"{folder}memory.stat": stat,
    }


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("0::/", {"memory.max": "max"}, None),
        ("0::/", {"memory.max": "1000000"}, None),
        ("0::/", memory_2("max", 5), None),
        ("0::/", memory_2("1000000", 700_000), 700_000),
        ("0::/a/b", memory_2("max", 5, "a/b/") | memory_2("2000000", 700_000, "a/"), 1_700_000),
        ("0::/a/b", memory_2("3000000", 5, "a/b/") | memory_2("2000000", 700_000, "a/"), 1_700_000),
        (HYBRID, memory_1(1_000_000, 700_000), 700_000),
        (HYBRID, memory_1(1_000_000, 600_000, "memory/a/b/") | memory_1(2**63 - 4096, 600_000), 800_000),
        (HYBRID, memory_1(2**63 - 4096, 600_000), None),
        (HYBRID, memory_1(1_000_000, 600_000) | memory_2("900000", 600_000, "unified/u/"), 700_000),
    ],
)
def test_free_group_memory_is_the_lowest_of_all_groups(
    tmp_path: Path, groups: str, files: dict[str, str], free: float | None
) -> None:
    assert free_group_memory(make_tree(tmp_path, groups, files)) == free
