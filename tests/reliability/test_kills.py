"""kill -9 at random moments: model and state stay readable, and the resumed run ends as an uninterrupted one."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import charlm
from tests.reliability.running import (
    assert_continued_to_the_bit,
    begin,
    check_files,
    children_of,
    is_alive,
    saved_steps,
    wait_for,
    write_text,
)

pytest.importorskip("resource", reason="needs POSIX")
STEPS = 10**6


def kill_again_and_again(folder: Path, kills: int, seed: int, ensemble: int = 1) -> int:
    """Start or resume a run and kill it, `kills` times; returns the step of the last state.

    Most kills fall while it trains and saves after every step, some while it starts.
    """
    rng = random.Random(seed)
    write_text(folder)
    state = folder / "charlm.resume"
    step = 0
    for _ in range(kills):
        more = ["--resume"] if step else ["--overwrite", "--ensemble", ensemble]
        process = begin(folder, *more, steps=STEPS)
        before = state.stat().st_mtime_ns if step else 0
        if step and rng.random() < 0.2:
            time.sleep(rng.uniform(0, 0.6))
        else:
            wait_for(lambda before=before: state.exists() and state.stat().st_mtime_ns > before, "a save")
            wait_for((folder / "charlm.safetensors").exists, "a model")
            time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.communicate()
        reached = check_files(folder)
        assert reached >= step
        step = reached
    return step


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".charlm.*"))


@pytest.mark.parametrize(("ensemble", "kills"), [(1, 10), (2, 5)], ids=["network", "ensemble"])
def test_several_kills_lose_nothing(tmp_path: Path, ensemble: int, kills: int) -> None:
    assert kill_again_and_again(tmp_path, kills, 1, ensemble) > 10
    assert len(saved_steps(tmp_path)) == ensemble
    assert_continued_to_the_bit(tmp_path, STEPS)


@pytest.mark.torture
@pytest.mark.parametrize(("ensemble", "kills"), [(1, 200), (2, 60)], ids=["network", "ensemble"])
def test_many_kills_lose_nothing(tmp_path: Path, ensemble: int, kills: int) -> None:
    step = kill_again_and_again(tmp_path, kills, int(time.time()), ensemble)
    assert_continued_to_the_bit(tmp_path, STEPS)
    assert len(leftovers(tmp_path)) <= 1  # of the last kill; each run removes those of the run before it
    print(f"{kills} kills of {ensemble} networks survived, {step:,} steps")  # noqa: T201


@pytest.mark.parametrize("setting", ["threads", "ensemble"])
def test_killed_run_ends_its_workers_and_resumes(tmp_path: Path, setting: str) -> None:
    write_text(tmp_path)
    threads = 2 if setting == "threads" else 1
    process = begin(tmp_path, f"--{setting}", 2)
    wait_for((tmp_path / "charlm.safetensors").exists, "a model")
    workers = children_of(process.pid)
    process.kill()
    err = process.communicate()[1].decode()
    assert len(workers) == (2 if setting == "ensemble" else 1)
    assert "Traceback" not in err
    wait_for(lambda: not any(map(is_alive, workers)), "the end of the workers")
    step = check_files(tmp_path)
    again = begin(tmp_path, "--resume", "--threads", threads)
    wait_for(lambda: check_files(tmp_path) > step, "a later save")
    again.kill()
    again.communicate()
    check_files(tmp_path)
    assert_continued_to_the_bit(tmp_path, STEPS, threads=threads)


def test_partial_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    write_text(tmp_path)
    for name in ("safetensors", "resume", "resume.safetensors", "log.jsonl"):
        (tmp_path / f".charlm.{name}.0123456789abcdef.tmp").write_bytes(b"half")
    process = begin(tmp_path, steps=3)
    assert process.communicate()[0] is None
    assert process.returncode == 0
    assert not leftovers(tmp_path)


def test_stale_lock_file_is_ignored_and_a_live_one_respected(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "charlm.lock").write_text("4711")
    process = begin(tmp_path)
    wait_for((tmp_path / "charlm.safetensors").exists, "a model")
    other = begin(tmp_path, "--overwrite")
    _, err = other.communicate(timeout=60)
    assert other.returncode == 1
    assert b"another run is writing this model" in err
    process.kill()
    process.communicate()
    third = begin(tmp_path, "--overwrite", steps=2)
    third.communicate(timeout=60)
    assert third.returncode == 0


def test_a_kill_between_state_and_model_costs_nothing(tmp_path: Path) -> None:
    """The state of a finished run is there, its model is not: resuming writes it."""
    write_text(tmp_path)
    begin(tmp_path, steps=20).communicate(timeout=60)
    model = tmp_path / "charlm.safetensors"
    expected = model.read_bytes()
    assert check_files(tmp_path) == charlm.load(model).training.steps == 20
    model.unlink()
    begin(tmp_path, "--resume", steps=20).communicate(timeout=60)
    assert model.read_bytes() == expected


def test_stopped_run_is_overwritten_only_on_request(tmp_path: Path) -> None:
    """Even where it has no model yet: the state may hold hours of work."""
    write_text(tmp_path)
    begin(tmp_path, steps=5).communicate(timeout=60)
    (tmp_path / "charlm.safetensors").unlink()
    before = (tmp_path / "charlm.resume").read_bytes()
    process = begin(tmp_path, steps=5)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "exists already; --resume continues its run, --overwrite replaces it" in err
    assert (tmp_path / "charlm.resume").read_bytes() == before
    begin(tmp_path, "--overwrite", steps=3).communicate(timeout=60)
    assert check_files(tmp_path) == 3
