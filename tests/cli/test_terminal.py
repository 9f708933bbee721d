"""Output on a terminal: the progress bar, escaped control characters, the response to Ctrl-C."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

import charlm as package
from tests.cli.command import charlm, files_in
from tests.cli.conftest import TINY, VERSE

pytest.importorskip("termios", reason="no terminals of this kind here")
from tests.cli.screen import Screen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "verse.txt").write_text(VERSE * 30)
    return tmp_path


def test_a_bar_shows_figures_with_their_units(folder: Path) -> None:
    with Screen("train", "verse.txt", "--steps", 60, *TINY, cwd=folder, columns=140) as screen:
        assert screen.end() == 0
    assert "100%|" in screen.shown
    last = screen.shown[screen.shown.rindex("100%|") :].splitlines()[0]
    for figure in ("0:00 left", "chars/s", "train", "held-out", "nats/char", "bits/char"):
        assert figure in last, figure
    assert "wrote charlm.safetensors: held-out" in screen.shown


def test_a_bar_fits_a_narrow_terminal(folder: Path) -> None:
    with Screen("train", "verse.txt", "--steps", 60, *TINY, cwd=folder, columns=80) as screen:
        assert screen.end() == 0
    bars = [line for line in re.split(r"[\r\n]+", screen.shown) if "%|" in line]
    assert all(len(line) <= 80 for line in bars)
    assert re.search(r"100%\|█{10,}\| 0:00 left  [\d,]+ chars/s  held-out \d\.\d{3} nats/char$", bars[-1])


def test_a_bar_on_a_very_narrow_terminal_shows_the_loss(folder: Path) -> None:
    with Screen("train", "verse.txt", "--steps", 60, *TINY, cwd=folder, columns=50) as screen:
        assert screen.end() == 0
    bars = [line for line in re.split(r"[\r\n]+", screen.shown) if "%|" in line]
    assert all(len(line) <= 50 for line in bars)
    assert re.search(r"100%\|█{5,}\| 0:00 left  held-out \d\.\d{3} nats/char$", bars[-1])
    samples = re.findall(r"charlm:  (..)%  held-out .* nats/char\s+charlm:   (.*)", screen.shown)
    assert len(samples) >= 1


def test_a_terminal_without_a_width_shows_a_bar(folder: Path) -> None:
    with Screen("train", "verse.txt", "--steps", 60, *TINY, cwd=folder, columns=0) as screen:
        assert screen.end() == 0
    bars = [line for line in re.split(r"[\r\n]+", screen.shown) if "100%|" in line]
    assert "0:00 left" in bars[-1]
    assert bars[-1].endswith("nats/char")  # not cut
    assert len(bars[-1]) <= 80


def test_ctrl_c_saves_the_run_and_prints_the_command_that_resumes_it(folder: Path) -> None:
    name = folder / "two words.txt"
    (folder / "verse.txt").rename(name)
    with Screen("train", name.name, "--steps", 10**6, *TINY, cwd=folder, columns=200) as screen:
        screen.read_until("chars/s")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    assert "press Ctrl-C again to stop at once" in screen.shown
    assert "resume with: charlm train 'two words.txt' -m charlm.safetensors --resume" in screen.shown
    assert package.load(folder / "charlm.safetensors").training.steps > 0
    with Screen("train", name.name, "--resume", cwd=folder, columns=200) as screen:  # no setting is repeated
        screen.read_until("resumed after step")
        screen.read_until("chars/s")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.end() == 143


def test_sampled_control_characters_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text("\x1b[31m\x9b\u202e" * 40)
    done = charlm("train", "evil.txt", "--steps", 80, *TINY, cwd=tmp_path)
    assert done.code == 0, done.err
    run = ("sample", "--length", 60, "--temp", 0)
    raw = charlm(*run, cwd=tmp_path).out
    assert "\x1b" in raw  # into a pipe
    with Screen(*run, cwd=tmp_path) as screen:
        assert screen.end() == 0
    assert not {"\x1b", "\x9b", "\u202e"} & set(screen.shown)
    assert r"\x1b" in screen.shown
    assert r"\u202e" in screen.shown


def test_several_running_texts_have_headings_on_a_terminal(verse_model: Path) -> None:
    run = ("sample", "-n", 3, "--length", 20, "--seed", 1)
    with Screen(*run, cwd=verse_model.parent) as screen:
        assert screen.end() == 0
    assert re.findall("--- text . of . ---", screen.shown) == [f"--- text {k} of 3 ---" for k in (1, 2, 3)]
    assert "---" not in charlm(*run, cwd=verse_model.parent).out
    with Screen("sample", "--length", 20, cwd=verse_model.parent) as screen:
        assert screen.end() == 0
    assert "---" not in screen.shown


def test_lines_have_no_headings_on_a_terminal(names_model: Path) -> None:
    with Screen("sample", "-n", 3, "--seed", 1, cwd=names_model.parent) as screen:
        assert screen.end() == 0
    assert len(screen.shown.splitlines()) == 3


def test_ctrl_c_while_sampling_is_silent(verse_model: Path) -> None:
    before = files_in(verse_model.parent)
    with Screen("sample", "--length", 10**9, cwd=verse_model.parent) as screen:
        screen.read_until("\n")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    assert "Traceback" not in screen.shown
    assert files_in(verse_model.parent) == before


def test_control_characters_in_a_file_name_are_escaped(tmp_path: Path) -> None:
    done = charlm("train", "no\x1b[31mfile", cwd=tmp_path)
    assert (done.code, done.err) == (1, "charlm: no\\x1b[31mfile: no such file\n")
