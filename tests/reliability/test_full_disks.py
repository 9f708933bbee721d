"""Training continues, with a message, on full disks, with limited files, and in folders that disappear."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import charlm
from charlm.checkpoint import read_state
from charlm.errors import CheckpointError
from tests.reliability.running import (
    SETTINGS,
    assert_same_arrays,
    begin,
    check_files,
    saved_step,
    start,
    uninterrupted,
    wait_for,
    write_text,
)

resource = pytest.importorskip("resource", reason="needs POSIX")


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the commands that run here: its own file would not fit on their disks either."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond `size` bytes: a full disk, as far as a write can tell."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_full_disk_at_the_start_is_reported_in_one_line(tmp_path: Path) -> None:
    write_text(tmp_path)
    process = start(tmp_path, "text.txt", "--hidden", 8, "--threads", 1, "--steps", 5, "--save-every", 0,
                    preexec=lambda: limit_files(600))  # fmt: skip
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1, err
    assert "cannot write charlm.safetensors: File too large; nothing was written; training continues" in err
    assert err.splitlines()[-1].startswith("charlm: cannot write charlm.safetensors: File too large")
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob(".charlm*"))


@pytest.mark.parametrize("ensemble", [1, 2])
def test_a_disk_that_fills_up_leaves_the_last_good_files(tmp_path: Path, ensemble: int) -> None:
    write_text(tmp_path)
    begin(tmp_path, "--ensemble", ensemble, steps=20).communicate(timeout=60)
    model, state = tmp_path / "charlm.safetensors", tmp_path / "charlm.resume"
    before = model.read_bytes(), state.read_bytes()
    limit = min(model.stat().st_size, state.stat().st_size) // 2
    starved = start(tmp_path, "text.txt", "--resume", "--steps", 300, "--save-every", 0,
                    preexec=lambda: limit_files(limit))  # fmt: skip
    err = starved.communicate(timeout=60)[1].decode()
    assert starved.returncode == 1
    assert 1 <= err.count("the old file is unchanged; training continues") <= 2  # of each file, though every step tried
    assert "90%  step 27" in err
    assert (model.read_bytes(), state.read_bytes()) == before
    fed = start(tmp_path, "text.txt", "--resume", "--steps", 300, "--keep-state")
    fed.communicate(timeout=60)
    assert (fed.returncode, check_files(tmp_path)) == (0, 300)


def test_disk_with_space_for_the_model_only_gets_the_model(tmp_path: Path) -> None:
    write_text(tmp_path)
    begin(tmp_path, steps=20).communicate(timeout=60)
    sizes = [(tmp_path / f"charlm.{name}").stat().st_size for name in ("safetensors", "resume")]
    tight = sum(sizes) // 2
    assert sizes[0] < tight < sizes[1]
    for left in tmp_path.glob("*charlm*"):
        left.unlink()
    process = start(tmp_path, "text.txt", "--hidden", 8, "--cell", "gru", "--batch", 4, "--bptt", 8, "--threads", 1,
                    "--steps", 20, "--keep-state", preexec=lambda: limit_files(tight))  # fmt: skip
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0, err
    assert "the model is written, but this run cannot be resumed from its end" in err
    assert charlm.load(tmp_path / "charlm.safetensors").training.steps <= 20
    assert not (tmp_path / "charlm.resume").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us mount no tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk is full and stays full: a failed save frees its space."""
    with path.open("wb", buffering=0) as file:
        for _ in range(10):
            with suppress(OSError):
                while True:
                    file.write(bytes(512))
            time.sleep(0.02)


def test_a_small_disk_fills_up_and_empties_again(small_disk: Path) -> None:
    write_text(small_disk)
    process = begin(small_disk)
    wait_for((small_disk / "charlm.safetensors").exists, "a model")
    ballast = small_disk / "ballast"
    fill(ballast)
    full = check_files(small_disk)
    time.sleep(0.3)
    assert check_files(small_disk) - full < 100  # not one per step: the disk is full
    stuck = check_files(small_disk)
    ballast.unlink()
    wait_for(lambda: saved_step(small_disk) > stuck, "a save after space was freed")
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, err
    assert "No space left on device; the old file is unchanged; training continues" in err
    assert "saved again" in err
    step = check_files(small_disk)
    expected = uninterrupted(small_disk.parent, 10**6, step) if write_text(small_disk.parent) else {}
    assert_same_arrays(small_disk / "charlm.resume", expected)


def test_folder_that_disappears_and_returns_gets_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    write_text(tmp_path)
    process = start(tmp_path, "text.txt", "-m", "runs/m.safetensors", "--hidden", 8, "--threads", 1, "--steps", 10**6,
                    "--save-every", 0)  # fmt: skip
    wait_for((folder / "m.safetensors").exists, "a model")
    moved = tmp_path / "moved"
    folder.rename(moved)
    before = read_state(moved / "m.resume")[1]["trainer"]["step"]
    time.sleep(0.2)
    folder.mkdir()
    wait_for((folder / "m.resume").exists, "a save in the new folder")
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 143, err
    assert "there is no such file or folder; nothing was written; training continues" in err
    assert "saved again" in err
    assert read_state(folder / "m.resume")[1]["trainer"]["step"] > before
    charlm.load(moved / "m.safetensors")


def test_folder_that_is_missing_at_the_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    write_text(tmp_path)
    process = start(tmp_path, "text.txt", "-m", "runs/m.safetensors", "--hidden", 8, "--threads", 1, "--steps", 10**6,
                    "--save-every", 0)  # fmt: skip
    wait_for((tmp_path / "runs" / "m.safetensors").exists, "a model")
    (tmp_path / "runs").rename(tmp_path / "moved")
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("charlm: cannot write runs/m.")


@pytest.fixture
def read_only(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a text, where nothing can be written."""
    if os.geteuid():
        folder = tmp_path / "locked"
        folder.mkdir()
        write_text(folder)
        folder.chmod(0o555)
        return folder
    folder = request.getfixturevalue("small_disk")  # permissions do not bind root; a mount does
    write_text(folder)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    return Path(folder)


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_read_only_folder_is_refused_before_training(read_only: Path, more: list[str]) -> None:
    process = start(read_only, "text.txt", "--steps", 2, *more)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert err.startswith("charlm: cannot write charlm.safetensors: ")
    assert err.endswith("; name another --model\n")
    assert "Permission denied" in err or "Read-only file system" in err


def test_an_error_of_the_disk_does_not_end_a_run_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = write_text(tmp_path)
    real = os.fsync
    failures = iter([OSError(5, "Input/output error")] * 7)

    def fail_at_first(descriptor: int) -> None:
        for error in failures:
            raise error
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_at_first)
    model = charlm.train(text, tmp_path / "m.safetensors", steps=20, save_minutes=0, **SETTINGS)
    messages = [record.getMessage() for record in caplog.records if record.name == "charlm"]
    assert any("Input/output error" in line for line in messages)
    assert messages[-1] == "saved again: the problem is solved"
    assert charlm.load(tmp_path / "m.safetensors").score("quick") == model.score("quick")


def test_failure_of_all_writes_at_the_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_text(tmp_path)
    monkeypatch.setattr("charlm.runs.log.atomic_write", lambda *_: (_ for _ in ()).throw(CheckpointError("no")))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match=r"cannot write .*No space left on device"):
        charlm.train(text, tmp_path / "m.safetensors", steps=3, **SETTINGS)
