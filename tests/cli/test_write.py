"""charlm write: through a pipe and on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from charlm.cli.tables import percent
from charlm.model import load
from charlm.writing import WritingSession
from tests.cli.test_records import tables
from tests.cli.tiny import Terminal, make_model

DRAFT = Path("draft.txt")


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(tmp_path / "charlm.safetensors", training={"sources": ["a.txt"]})
    return Terminal(capsys)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that pipes lines into the next command."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def session(text: str = "", **settings: Any) -> WritingSession:
    return WritingSession(load("charlm.safetensors"), text, seed=1, **settings)


def objects(shown: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown.splitlines()]


def test_lines_pick_type_undo_and_change_settings(charlm: Terminal, pipe: Any) -> None:
    pipe("2\n:longer\n:warm\n dab\n:undo\n:undo\n:redo\n\n:more\n:q\nnot read\n")
    steps = objects(charlm("write", "--json", "--seed", 1, "-p", "ab").out)
    same = session("ab")
    expected = [same.phrases]
    for change in (lambda: same.pick(2), same.longer, same.warmer, lambda: same.add(" dab"), same.undo, same.undo,
                   same.redo, lambda: same.add("\n"), same.more):  # fmt: skip
        change()
        expected.append(same.phrases)
    assert [[one["text"] for one in step["continuations"]] for step in steps] == [
        [phrase.text for phrase in phrases] for phrases in expected
    ]
    assert [step["words"] for step in steps[:3]] == [5, 5, 8]
    assert steps[3]["temperature"] == 0.9
    assert steps[1]["text"] == "ab" + steps[0]["continuations"][1]["text"]
    assert steps[4]["text"] == steps[1]["text"] + " dab"
    assert steps[6]["text"] == "ab"
    assert DRAFT.read_text() == steps[-1]["text"] == steps[1]["text"] + "\n"


def test_keys_are_those_of_the_page(charlm: Terminal, pipe: Any) -> None:
    pipe("")
    [step] = objects(charlm("write", "--json").out)
    assert [list(step), list(step["continuations"][0])] == [list(table) for table in tables("write")]


def test_plain_lines_are_the_text_the_settings_and_the_continuations(charlm: Terminal, pipe: Any) -> None:
    pipe("")
    *lines, empty = charlm("write", "--seed", 1, "-p", "a\tb\n", "-k", 3).out.split("\n")[:-1]
    phrases = session("a\tb\n", count=3).phrases
    assert lines[:2] == ["text\ta\\tb\\n", "words\t5\ttemperature\t0.8"]
    found = [line.split("\t") for line in lines[2:]]
    shown = [phrase.text.replace("\n", "\\n") for phrase in phrases]
    assert found == [
        [str(k), percent(phrase.probability), text]
        for k, (phrase, text) in enumerate(zip(phrases, shown, strict=True), 1)
    ]
    assert empty == ""


def test_wrong_lines_are_explained_and_change_nothing(charlm: Terminal, pipe: Any) -> None:
    pipe(":nothing\n:\n9\n0\n:undo\n:redo\n:help\n:text\n")
    shown = charlm("write", "--json", "-p", "ab")
    assert len(objects(shown.out.replace("\nab\n", "\n"))) == 1
    for message in (":nothing: no such command", "there is no continuation 9", "nothing to undo", "nothing to redo"):
        assert message in shown.err
    assert "wrote draft.txt: 2 characters" in shown.err
    assert shown.out.endswith("\nab\n")


def test_an_existing_text_is_continued(charlm: Terminal, pipe: Any) -> None:
    Path("story.txt").write_text("é ab", encoding="utf-8")
    pipe(" cd\n")
    shown = charlm("write", "story.txt", "--json")
    assert "continuing story.txt: 4 characters" in shown.err
    assert Path("story.txt").read_text(encoding="utf-8") == "é ab cd"
    pipe("x\n")
    assert "leave out --prompt or name another file" in charlm("write", "story.txt", "-p", "x", code=2).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["charlm.safetensors"], 2, "charlm.safetensors is a model, not a text; pass it as -m charlm.safetensors"),
        (["."], 1, "it is a folder"),
        (["nowhere/draft.txt"], 1, "nowhere/draft.txt"),
        (["-k", "10"], 2, "10 is not in the range"),
        (["--temp", "3"], 2, "3.0 is not in the range"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_step(
    charlm: Terminal, pipe: Any, arguments: list[str], code: int, message: str
) -> None:
    pipe("1\n")
    shown = charlm("write", *arguments, code=code)
    assert message in shown.err
    assert shown.out == ""


def test_a_text_that_cannot_be_saved_is_printed(charlm: Terminal, pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from charlm.checkpoint import storage
    from charlm.errors import CheckpointError

    def fail(path: Path, chunks: Any) -> None:
        raise CheckpointError(f"cannot write {path}: no space left on device")

    monkeypatch.setattr(storage, "atomic_write", fail)
    pipe(" cd\n")
    shown = charlm("write", "-p", "ab", code=1)
    assert shown.out.endswith("\nab cd\n")
    assert "cannot write draft.txt: no space left on device" in shown.err


def test_mixtures_write(charlm: Terminal, pipe: Any) -> None:
    make_model(Path("b.safetensors"), seed=1, tokens="abx \n")
    pipe("1\n")
    steps = objects(charlm("write", "-m", "charlm.safetensors", "b.safetensors", "--json").out)
    assert DRAFT.read_text() == steps[0]["continuations"][0]["text"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_text_in_the_file(charlm: Terminal, number: int, code: int) -> None:
    command = [sys.executable, "-m", "charlm", "write", "--json", "-p", "ab"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(" cd\n")
        process.stdin.flush()
        process.stdout.readline()
        assert DRAFT.read_text() == "ab cd"
        process.send_signal(number)
        assert process.wait(timeout=60) == code


class TestScreen:
    """The screen, on a pseudo-terminal of 60 columns."""

    @pytest.fixture(autouse=True)
    def needs(self) -> None:
        pytest.importorskip("termios", reason="no terminals of this kind here")
        pytest.importorskip("prompt_toolkit")

    def wait_for(self, text: str) -> None:
        """Wait until the file has a text."""
        deadline = time.monotonic() + 30
        while not DRAFT.exists() or DRAFT.read_text() != text:
            assert time.monotonic() < deadline, (text, DRAFT.read_text() if DRAFT.exists() else None)
            time.sleep(0.02)

    def resize_until(self, screen: Any, text: str) -> None:
        """Resize the terminal, which draws the whole screen again, until that has a text."""
        for columns in range(100, 130):
            screen.shown = ""
            screen.resize(columns)
            with suppress(AssertionError):
                screen.read_until(text, seconds=2)
                return
        raise AssertionError(screen.shown)

    def test_keys_pick_type_undo_resize_and_save(self, charlm: Terminal, tmp_path: Path) -> None:
        from tests.cli.screen import Screen

        same = session("ab c")
        with Screen("write", "-p", "ab c", "--seed", 1, cwd=tmp_path, columns=60) as screen:
            lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.read_until("save and leave")).splitlines()
            assert all(len(line) <= 60 for line in lines)
            screen.send("2")
            same.pick(2)
            self.wait_for(same.text)
            screen.send(" dad 1\r")
            same.add(" dad 1")
            self.wait_for(same.text)
            screen.send("\x1a")  # Ctrl-Z
            same.undo()
            self.wait_for(same.text)
            screen.send("\x19")  # Ctrl-Y
            same.redo()
            self.wait_for(same.text)
            screen.send("\x1b[A\x1b[A\x1b[C\t")  # up, up, right, tab
            self.resize_until(screen, "8 words, temperature 1,")
            screen.send("\r d\x13")  # Ctrl-S
            assert screen.end() == 0
        assert DRAFT.read_text() == same.text + "\n d"

    def test_ctrl_c_leaves_the_typed_text_in_the_file(self, charlm: Terminal, tmp_path: Path) -> None:
        from tests.cli.screen import Screen

        with Screen("write", "-p", "ab", cwd=tmp_path, columns=60) as screen:
            screen.read_until("save and leave")
            screen.send(" cd\x03")
            assert screen.end() == 130
            assert "wrote draft.txt: 5 characters" in screen.shown
        assert DRAFT.read_text() == "ab cd"

    def test_plain_lines_work_on_a_terminal(self, charlm: Terminal, tmp_path: Path) -> None:
        from tests.cli.screen import Screen

        with Screen("write", "-p", "ab", "--plain", cwd=tmp_path, columns=60) as screen:
            screen.read_until("> ")
            screen.send(" cd\n:q\n")
            assert screen.end() == 0
        assert DRAFT.read_text() == "ab cd"
        assert "\x1b[" not in screen.shown


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1, "100.00%"), (0.0448, "4.48%"), (5e-5, "0.01%"), (4e-5, "4e-05"), (3.1e-12, "3e-12"), (0, "0.00%")],
)
def test_small_probability_is_not_shown_as_zero(probability: float, shown: str) -> None:
    assert percent(probability) == shown
