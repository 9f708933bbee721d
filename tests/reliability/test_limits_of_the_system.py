"""A full temporary folder, a missing interpreter, limits on threads and processes: one line names the cause."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm.cli
from charlm.cli.train import resume_command
from charlm.errors import ResourceError
from charlm.text.corpus import Corpus
from charlm.text.store import GrowingIds, store_ids
from charlm.text.tuning import TextTuning
from tests.reliability.running import FLAGS, TEXT, write_text

ON_DISK = TextTuning(max_bytes_in_memory=1)


class FullDisk(io.RawIOBase):
    """A file on a disk that is full."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, none of which can be written."""

    def open_full(*arguments: Any, **named: Any) -> io.BufferedWriter:
        return io.BufferedWriter(FullDisk())

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("TemporaryFile", "SpooledTemporaryFile"):
        monkeypatch.setattr(tempfile, name, open_full)
    return tmp_path


def full(folder: Path) -> str:
    """Return what is reported."""
    return f"{folder}: No space left on device; temporary files go there, set TMPDIR to a folder with more space"


def test_ids_on_a_full_disk_name_the_temporary_folder(full_disk: Path) -> None:
    ids = np.zeros(100_000, np.uint8)  # more than a buffer
    growing = GrowingIds()
    with pytest.raises(ResourceError) as caught:
        growing.append(ids)
    assert str(caught.value) == full(full_disk)
    growing.close()
    with pytest.raises(ResourceError) as caught:
        store_ids([ids], ids.size, 99, ON_DISK)
    assert str(caught.value) == full(full_disk)


def test_a_full_temporary_folder_is_one_line(full_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = write_text(full_disk)
    with pytest.raises(ResourceError):
        Corpus.read([text])
    assert charlm.cli.run(["train", str(text), "-m", str(full_disk / "m"), *FLAGS]) == 1
    assert capsys.readouterr().err == f"charlm: {full(full_disk)}\n"


def test_no_temporary_folder_at_all_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", find_none)
    with pytest.raises(ResourceError, match=r"No usable temporary directory found .*TMPDIR"):
        store_ids([np.arange(100, dtype=np.uint8)], 100, 99, ON_DISK)


def train_on_two_threads(folder: Path) -> int:
    """Train with a held-out text that is long enough for two threads; returns the exit code."""
    (folder / "text.txt").write_text(TEXT * 5)
    arguments = ["train", str(folder / "text.txt"), "-m", str(folder / "m.safetensors"), *FLAGS, "--steps", "2"]
    return charlm.cli.run([*arguments, "--threads", "2"])


@pytest.mark.parametrize("executable", ["", None, "/nowhere/python"])
def test_a_missing_interpreter_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], executable: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert train_on_two_threads(tmp_path) == 1
    reason = f"there is no Python interpreter at {executable!r} (sys.executable)"
    err = capsys.readouterr().err
    assert err.startswith(f"charlm: cannot start a worker process: {reason}; --threads 1 ")
    assert err.count("\n") == 1


def test_a_limit_on_processes_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fork(*arguments: Any, **named: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fork)
    assert train_on_two_threads(tmp_path) == 1
    err = capsys.readouterr().err
    assert err.startswith("charlm: cannot start a worker process: Resource temporarily unavailable; --threads 1 ")
    assert err.count("\n") == 1


def test_a_limit_on_threads_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert train_on_two_threads(tmp_path) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "charlm: cannot start a thread; raise the limit of processes (ulimit -u)"


def test_another_runtime_error_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(charlm.cli.charlm, "main", fail)
    with pytest.raises(RuntimeError, match="odd"):
        charlm.cli.run([])


def test_the_resume_command_takes_a_text_that_looks_like_an_option(tmp_path: Path) -> None:
    assert resume_command(["a.txt"], Path("m")) == "charlm train a.txt -m m --resume"
    assert resume_command(["-"], Path("m")) == "charlm train - -m m --resume"
    command = resume_command(["-x y.txt", "a.txt"], Path("m"))
    assert command == "charlm train -m m --resume -- '-x y.txt' a.txt"
    (tmp_path / "-x y.txt").write_text(TEXT)
    (tmp_path / "a.txt").write_text(TEXT)
    python = [sys.executable, "-m"]
    first = [*python, "charlm", "train", "-m", "m", *FLAGS, "--steps", "3", "--", "-x y.txt", "a.txt"]
    again = [*python, *shlex.split(command)]
    assert subprocess.run(first, cwd=tmp_path, timeout=60, capture_output=True, check=False).returncode == 0
    again[again.index("--") : again.index("--")] = ["--steps", "6"]
    done = subprocess.run(again, cwd=tmp_path, timeout=60, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert charlm.load(tmp_path / "m").training.steps <= 6
