"""SIGINT, SIGTERM and SIGHUP: the first saves the run, the second stops at once; files stay intact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import BufferedReader
from pathlib import Path

import pytest

import charlm
from charlm.checkpoint import read_state
from charlm.errors import ResumeError
from tests.reliability.running import (
    assert_continued_to_the_bit,
    assert_same_arrays,
    begin,
    check_files,
    children_of,
    start,
    wait_for,
    write_text,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.mark.parametrize(
    ("number", "code", "threads", "ensemble"),
    [
        (signal.SIGINT, 130, 1, 1),
        (signal.SIGINT, 130, 2, 1),
        (signal.SIGTERM, 143, 2, 1),
        (signal.SIGHUP, 129, 1, 1),
        (signal.SIGTERM, 143, 1, 2),
    ],
)
def test_first_signal_saves_and_the_run_resumes_to_the_bit(
    tmp_path: Path, number: signal.Signals, code: int, threads: int, ensemble: int
) -> None:
    write_text(tmp_path)
    process = begin(tmp_path, "--threads", threads, "--ensemble", ensemble, "--save-every", 60)  # the signal saves
    wait_for(lambda: (tmp_path / "charlm.lock").exists(), "the start")
    wait_for((tmp_path / "charlm.log.jsonl").exists, "the first step")
    time.sleep(0.1)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == code, err
    assert "resume with: charlm train text.txt -m charlm.safetensors --resume" in err
    stopped = check_files(tmp_path)
    process = begin(tmp_path, "--threads", threads, "--resume")
    wait_for(lambda: check_files(tmp_path) > stopped + 3, "steps after the stop")
    process.send_signal(number)
    process.communicate(timeout=60)
    check_files(tmp_path)
    assert_continued_to_the_bit(tmp_path, 10**6, threads=threads)


def test_signals_to_all_processes_of_an_ensemble_stop_it_like_one_to_the_main_process(tmp_path: Path) -> None:
    """A service manager sends SIGTERM to all processes, and a session that ends sends SIGHUP."""
    write_text(tmp_path)
    process = begin(tmp_path, "--ensemble", 2)
    wait_for((tmp_path / "charlm.safetensors").exists, "a model")
    for member in children_of(process.pid):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(member, number)
    before = check_files(tmp_path)
    wait_for(lambda: check_files(tmp_path) > before, "a later save")
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert check_files(tmp_path) > before


@pytest.mark.parametrize(
    ("number", "code", "ensemble"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 2)]
)
def test_second_signal_stops_at_once_with_intact_files(
    tmp_path: Path, number: signal.Signals, code: int, ensemble: int
) -> None:
    write_text(tmp_path)
    begin(tmp_path, steps=10).communicate(timeout=60)
    before = check_files(tmp_path)
    (tmp_path / "long.txt").write_text("the quick brown fox\n" * 20_000)
    process = start(tmp_path, "long.txt", "-m", "slow.safetensors", "--hidden", 256, "--batch", 256, "--bptt", 512,
                    "--layers", 2, "--steps", 100, "--threads", 1, "--ensemble", ensemble)  # fmt: skip
    log = tmp_path / "slow.log.jsonl"
    wait_for(log.exists, "the start")
    time.sleep(0.3)  # into a step of many seconds
    process.send_signal(number)
    said = b""
    while b"press Ctrl-C again to stop at once" not in said:  # two signals within one product would be one
        piece = process.stderr.read1() if isinstance(process.stderr, BufferedReader) else b""
        assert piece, said
        said += piece
    assert process.poll() is None
    process.send_signal(number)
    asked = time.monotonic()  # members have the same standard error, which is at its end when all have exited
    err = (said + process.communicate(timeout=60)[1]).decode()
    assert process.returncode == code, err
    assert time.monotonic() - asked < 5
    assert "Traceback" not in err
    assert check_files(tmp_path) == before
    assert not list(tmp_path.glob(".slow*"))


def begin_in_mid_run(folder: Path, steps: int, *ignored: signal.Signals) -> subprocess.Popen[bytes]:
    """Start a run that ignores some signals, and wait for its first step."""

    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    write_text(folder)
    flags = ["--hidden", 8, "--threads", 1, "--save-every", 60, "--patience", 0, "--keep-state"]
    process = start(folder, "text.txt", *flags, "--steps", steps, preexec=ignore)
    wait_for(lambda: (folder / "charlm.log.jsonl").exists(), "the first step")
    return process


def test_sighup_is_never_the_second_signal(tmp_path: Path) -> None:
    """A shell and the kernel both send it when a terminal goes away."""
    process = begin_in_mid_run(tmp_path, 10**6)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.01)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 129, err
    assert check_files(tmp_path) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    process = begin_in_mid_run(tmp_path, 500, number)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0, err
    assert check_files(tmp_path) == 500


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_signal_before_training_stops_the_process(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The text comes from a pipe that is never closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", "-"], cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(lambda: (tmp_path / "charlm.lock").exists(), "the start")
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(timeout=60) == code
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_run_of_n_steps_that_is_extended_is_the_longer_run_if_the_rate_is_constant(tmp_path: Path) -> None:
    """A learning rate that decays over the budget depends on it; one that does not gives the same bits."""
    text = write_text(tmp_path)
    constant = {"hidden": 8, "batch": 4, "bptt": 8, "threads": 1, "warmup": 0.0, "final_rate": 1.0, "patience": 0}
    charlm.train(text, tmp_path / "whole.safetensors", steps=50, keep_state=True, **constant)
    charlm.train(text, tmp_path / "parts.safetensors", steps=20, keep_state=True, **constant)
    charlm.train(text, tmp_path / "parts.safetensors", steps=50, keep_state=True, resume=True)
    assert_same_arrays(tmp_path / "parts.resume", read_state(tmp_path / "whole.resume")[0])


def test_a_finished_run_can_be_extended(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    path = tmp_path / "m.safetensors"
    settings = {"hidden": 8, "batch": 4, "bptt": 8, "threads": 1, "patience": 0}
    short = charlm.train(text, path, steps=20, keep_state=True, **settings)
    longer = charlm.train(text, path, steps=400, keep_state=True, resume=True)
    assert longer.training.valid_loss < short.training.valid_loss
    assert read_state(tmp_path / "m.resume")[1]["trainer"]["step"] == 400
    by_time = charlm.train(text, path, minutes=0.02 + longer.training.seconds / 60, resume=True)
    assert by_time.training.steps >= longer.training.steps
    assert not (tmp_path / "m.resume").exists()
    with pytest.raises(ResumeError, match="a finished run can be resumed if `keep_state=True` kept its state"):
        charlm.train(text, path, steps=500, resume=True)
