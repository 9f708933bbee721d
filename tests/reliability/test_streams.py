"""Closed and failing standard streams end no command and no run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import charlm
from charlm.cli.streams import TolerantFile
from tests.reliability.running import FLAGS, check_files, wait_for, write_text

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")

TRAIN = ["train", "text.txt", *FLAGS, "--steps", "20"]


def shell(folder: Path, redirection: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `charlm` with a redirection of the shell."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "charlm", *arguments],
        cwd=folder, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, its model, and one that reads from both sides."""
    folder = tmp_path_factory.mktemp("models")
    assert shell(folder.parent, "", "train", str(write_text(folder)), "-m", f"{folder}/m", *TRAIN[2:]).returncode == 0
    done = shell(folder, "", *TRAIN, "-m", "both", "--bidirectional")
    assert done.returncode == 0, done.stderr
    (folder / "tags.conll").write_text("fox\tB-X\nruns\tO\n\n" * 40)
    done = shell(folder, "", "train", "tags.conll", *TRAIN[2:], "-m", "tags", "--task", "tag")
    assert done.returncode == 0, done.stderr
    (folder / "labels.tsv").write_text("a\tfox\nb\tdog\n" * 40)
    done = shell(folder, "", "train", "labels.tsv", *TRAIN[2:], "-m", "labels", "--task", "classify")
    assert done.returncode == 0, done.stderr
    (folder / "pairs.tsv").write_text("ab\txy\nc\tz\n" * 40)
    done = shell(folder, "", "train", "pairs.tsv", *TRAIN[2:], "-m", "pairs", "--task", "pairs")
    assert done.returncode == 0, done.stderr
    done = shell(folder, "", *TRAIN, "-m", "restore", "--task", "restore", "--remove", "spaces")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_run_with_closed_streams_trains(tmp_path: Path, closed: str, threads: str) -> None:
    write_text(tmp_path)
    done = shell(tmp_path, closed, *TRAIN, "--threads", threads)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert check_files(tmp_path) == 20
    if "2>" not in closed:
        assert b"wrote charlm.safetensors" in done.stderr


COMMANDS = [
    ["sample", "-m", "m", "--length", "5"],
    ["next", "-m", "m", "brown "],
    ["write", "-m", "m", "new.txt", "--seed", "1"],
    ["score", "-m", "m", "brown fox"],
    ["classify", "-m", "m", "-m", "both", "--pseudo", "brown fox"],
    ["odd", "-m", "m", "text.txt"],
    ["copies", "-m", "m", "text.txt", "--corpus", "text.txt"],
    ["fill", "-m", "m", "br_wn"],
    ["proof", "-m", "both", "text.txt"],
    ["cells", "-m", "m", "--file", "text.txt"],
    ["restore", "-m", "restore", "--file", "text.txt"],
    ["classify", "-m", "labels", "--lines", "--file", "text.txt"],
    ["tag", "-m", "tags", "--file", "text.txt"],
    ["translate", "-m", "pairs", "--file", "text.txt"],
    ["gradients", "m", "text.txt"],
    ["info", "-m", "m"],
    ["--help"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_runs_with_closed_streams(models: Path, command: list[str]) -> None:
    expected = shell(models, "", *command)
    for closed in ("<&-", "<&- >&- 2>&-"):
        done = shell(models, closed, *command)
        assert done.returncode == expected.returncode, done.stderr
        assert b"Traceback" not in done.stderr
        if ">" not in closed and command[0] not in ("sample", "fill", "write"):
            assert done.stdout == expected.stdout


def test_a_closed_standard_input_has_no_text(models: Path) -> None:
    done = shell(models, "<&-", "train", "-", "-m", "new")
    assert done.returncode == 1
    assert done.stderr == b"charlm: standard input: no text in it; there is nothing to learn\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_messages_that_cannot_be_written_do_not_end_a_run(tmp_path: Path, threads: str) -> None:
    write_text(tmp_path)
    assert shell(tmp_path, "2>/dev/full", *TRAIN, "--threads", threads).returncode == 0
    assert check_files(tmp_path) == 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("length", ["5", "20000"])  # less than a buffer is written at the end
def test_results_that_cannot_be_written_are_an_error(models: Path, length: str) -> None:
    done = shell(models, ">/dev/full", "sample", "-m", "m", "--length", length)
    assert (done.returncode, done.stderr) == (1, b"charlm: standard output: No space left on device\n")


def test_lines_that_were_dropped_are_reported_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    broken, working = os.open(log, os.O_RDONLY), os.open(log, os.O_WRONLY)
    with TolerantFile(broken, "w", closefd=False) as file:
        assert file.write(b"lost\n") == 5
        assert file.write(b"lost, too\n") == 10
        os.dup2(working, broken)
        assert file.write(b"there\n") == 6
        assert file.write(b"again\n") == 6
    os.close(broken)
    os.close(working)
    assert log.read_bytes() == b"\ncharlm: lines are missing here: Bad file descriptor\nthere\nagain\n"


def test_closed_terminal_does_not_end_a_run(tmp_path: Path) -> None:
    write_text(tmp_path)
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "charlm", *TRAIN, "--steps", "2000", "--save-every", "0"],
        cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(slave)
        wait_for((tmp_path / "charlm.resume").exists, "the first step")
        os.close(master)
        assert process.wait(timeout=100) == 0
    assert check_files(tmp_path) == 2000


def test_a_program_with_closed_streams_can_train_on_two_cores(tmp_path: Path) -> None:
    """Memory that is shared with a worker must not take the number of one of its streams."""
    write_text(tmp_path)
    (tmp_path / "program.py").write_text(
        "import os, charlm\n"
        "for descriptor in range(3):\n"
        "    os.close(descriptor)\n"
        "charlm.train('text.txt', 'charlm.safetensors', steps=20, threads=2, hidden=8, batch=4, bptt=8)\n"
    )
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0
    assert charlm.load(tmp_path / "charlm.safetensors").training.steps <= 20
