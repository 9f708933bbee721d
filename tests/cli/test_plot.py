"""charlm plot: curves on the terminal and in files, and mistakes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.tiny import Terminal


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with two logs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    for name, start in (("charlm", 3.0), ("other", 4.0)):
        rows = [
            {"step": 10 * k, "seconds": k / 2, "train_loss": start - k / 10,
             "valid_loss": start if k % 5 == 0 else None, "learning_rate": 0.01, "grad_norm": 0.5}
            for k in range(1, 11)
        ]  # fmt: skip
        (tmp_path / f"{name}.log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Terminal(capsys)


def test_terminal_shows_both_losses_of_the_default_model(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("plotille")
    monkeypatch.setenv("COLUMNS", "60")
    out = charlm("plot").out
    assert out.startswith("loss in nats by step\n")
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()[-2:]] == ["train", "held-out"]
    assert max(map(len, out.splitlines())) <= 60
    assert "\x1b" not in out


def test_several_runs_are_named_and_colours_follow_the_environment(
    charlm: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotille")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = charlm("plot", "charlm.log.jsonl", "-m", "other.safetensors", "--by", "seconds").out
    assert "\x1b[" in out
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    names = [line.split(maxsplit=1)[1] for line in plain.splitlines()[-4:]]
    assert names == ["charlm train", "charlm held-out", "other train", "other held-out"]
    assert plain.startswith("loss in nats by seconds\n")


def test_other_quantities_are_drawn(charlm: Terminal) -> None:
    pytest.importorskip("plotille")
    assert "learning rate" in charlm("plot", "--show", "learning-rate").out
    assert "the logs have no characters per second; --show names another" in (
        charlm("plot", "--show", "speed", code=2).err
    )


def test_svg_has_the_curves_and_is_reproducible(charlm: Terminal, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        charlm("plot", "charlm.log.jsonl", "other.log.jsonl", "-o", name)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn == (tmp_path / "b.svg").read_text()
    for label in ("charlm train", "other held-out", "loss in nats"):
        assert label in drawn


def test_missing_library_is_named(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotille", None)
    assert charlm("plot", code=1).err == (
        "charlm: a plot on the terminal needs plotille, which is not installed; run: pip install plotille; "
        "with matplotlib, --output draws into a file\n"
    )


def test_missing_log_is_explained(charlm: Terminal) -> None:
    assert charlm("plot", "none.log.jsonl", code=1).err == (
        "charlm: none.log.jsonl: no such file; training writes the log next to the model, as NAME.log.jsonl\n"
    )
