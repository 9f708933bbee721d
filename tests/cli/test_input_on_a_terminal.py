"""What commands read when standard input is a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.tiny import make_model

pytest.importorskip("termios", reason="no terminals of this kind here")
from tests.cli.screen import Screen

COMMANDS = [("score",), ("classify", "-m", "m", "-m", "m"), ("fill",), ("odd",), ("proof",), ("gradients",), ("train",)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHARLM_MODEL", "m")
    make_model(tmp_path / "m")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_command_without_a_text_is_refused(folder: Path, command: tuple[str, ...]) -> None:
    with Screen(*command, cwd=folder) as screen:
        assert screen.end() == 2
    assert "no text is given; " in screen.shown


def test_hyphen_reads_the_terminal(folder: Path) -> None:
    with Screen("score", "-", cwd=folder) as screen:
        os.write(screen._master, b"abba\n\x04")
        assert screen.end() == 0
    assert "perplexity" in screen.shown


def test_sample_does_not_read_the_terminal(folder: Path) -> None:
    with Screen("sample", "--length", 5, cwd=folder) as screen:
        assert screen.end() == 0
