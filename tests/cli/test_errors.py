"""Every error becomes one line on stderr and an exit code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import charlm.cli
from charlm.cli import run
from charlm.cli.command import Command
from charlm.errors import CharlmError, CheckpointError, ConfigError
from tests.cli.command import charlm as command
from tests.cli.command import files_in
from tests.cli.conftest import TINY, VERSE


def raising(error: BaseException) -> click.Command:
    """Return a command that fails."""

    @click.command(cls=Command)
    def fail() -> None:
        """Raise the error."""
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("`hidden` is 0; expected 1 or more"), 2, "charlm: hidden is 0; expected 1 or more\n"),
        (CheckpointError("m: damaged"), 1, "charlm: m: damaged\n"),
        (CharlmError("a\nb\x1b"), 1, "charlm: a\\nb\\x1b\n"),
        (MemoryError(), 1, "charlm: out of memory\n"),
        (OSError(errno.ENOSPC, "No space left on device", "m.log"), 1, "charlm: m.log: No space left on device\n"),
        (OSError("odd"), 1, "charlm: file: odd\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (click.Abort(), 130, ""),
    ],
)
def test_error_becomes_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    monkeypatch.setattr(charlm.cli, "charlm", raising(error))
    assert run([]) == code
    assert capsys.readouterr() == ("", line)


def test_unexpected_exception_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charlm.cli, "charlm", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run([])


@pytest.mark.skipif(os.name == "nt", reason="pipes")
@pytest.mark.parametrize("length", [1, 10**7])  # output shorter than a buffer is written at exit
def test_closed_pipe_exits_with_141_and_no_message(verse_model: Path, length: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "charlm", "sample", "-m", verse_model, "--length", str(length)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        if length > 1:
            assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_second_ctrl_c_stops_at_once_and_leaves_the_files_intact(tmp_path: Path) -> None:
    (tmp_path / "verse.txt").write_text(VERSE * 30)
    (tmp_path / "slow.py").write_text(
        "import sys, time\n"
        "from charlm.cli import main\n"
        "from charlm.training.learner import Learner\n"
        "def train_window(learner, rate):\n"
        "    print('in a step', file=sys.stderr, flush=True)\n"
        "    time.sleep(60)\n"
        "Learner.train_window = train_window\n"
        "main(sys.argv[1:])\n"
    )
    (tmp_path / "charlm.safetensors").write_text("old")
    with subprocess.Popen(
        [sys.executable, "slow.py", "train", "verse.txt", "--overwrite", "--steps", "9", *map(str, TINY)],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for awaited in ("in a step", "press Ctrl-C again to stop at once"):
            assert any(awaited in line for line in iter(process.stderr.readline, ""))
            process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == ""
    assert process.returncode == 130
    assert files_in(tmp_path)["charlm.safetensors"] == b"old"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_json_of_undecodable_names_and_arguments_is_utf8(verse_model: Path, tmp_path: Path) -> None:
    model = tmp_path / os.fsdecode(b"caf\xe9.safetensors")
    shutil.copy(verse_model, model)
    text = os.fsdecode(b"the_\xe9")
    for name, arguments in {
        "score": ["--json", text],
        "info": ["--json"],
    }.items():
        done = command(name, "-m", model, *arguments, cwd=tmp_path)  # decodes as UTF-8, strictly
        found = json.loads(done.out)
        assert (found["path"] if name == "info" else found["text"]) == (str(model) if name == "info" else text)
    assert command("score", "--tsv", "-m", model, text, cwd=tmp_path).out.splitlines()[1].startswith("the_\\udce9\t")


def test_standard_streams_are_utf8_in_any_locale(tmp_path: Path) -> None:
    done = command("train", "нет.txt", cwd=tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (1, "charlm: нет.txt: no such file\n")
