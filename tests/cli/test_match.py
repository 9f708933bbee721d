"""The constraints of charlm sample."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.tiny import Terminal, make_model


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(tmp_path / "charlm.safetensors", lines=True)
    return Terminal(capsys)


def test_every_line_matches(charlm: Terminal) -> None:
    lines = charlm("sample", "-n", 50, "--match", "a[bc]{2,5}d", "--seed", 1).out.splitlines()
    assert len(lines) == 50
    assert all(re.fullmatch("a[bc]{2,5}d", line) for line in lines)


def test_short_flags_apply_together_and_to_one_text(charlm: Terminal) -> None:
    flags = ("--starts-with", "a", "--contains", "bb", "--ends-with", "d", "--without", "c ", "--length", 30)
    lines = charlm("sample", "-n", 20, "--seed", 1, *flags).out.splitlines()
    assert all(re.fullmatch("a[abd]*bb[abd]*d", line) for line in lines)
    assert charlm("sample", "--seed", 1, *flags).out.splitlines() == lines[:1]


def test_line_of_the_prompt_matches_as_a_whole(charlm: Terminal) -> None:
    for line in charlm("sample", "-n", 9, "-p", "ab", "--match", "abc+").out.splitlines():
        assert re.fullmatch("abc+", line)


def test_records_have_the_importance_weight(charlm: Terminal) -> None:
    masked = [json.loads(line) for line in charlm("sample", "-n", 9, "--match", "[ab]+", "--json").out.splitlines()]
    assert all(record["log_kept"] < 0 for record in masked)
    assert json.loads(charlm("sample", "--json").out)["log_kept"] == 0


def test_exact_draws_other_texts_that_match(charlm: Terminal) -> None:
    lines = charlm("sample", "-n", 30, "--match", "[ab]{1,3}", "--exact", "--seed", 2).out.splitlines()
    assert len(lines) == 30
    assert all(re.fullmatch("[ab]{1,3}", line) for line in lines)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--match", "x+"), "charlm: no text of the model's characters can match"),
        (("--match", "a{9}", "--length", 8), "charlm: the shortest text that matches has 9 characters; --length is 8"),
        (("--match", "(a"), "charlm: '(a': not a regular expression: missing ), unterminated subpattern at position 0"),
        (
            ("--match", "a", "--stop", "b"),
            "charlm: a text that must match cannot also end at a string; leave out --stop",
        ),
    ],
)
def test_what_cannot_match_is_refused_in_one_line(charlm: Terminal, flags: tuple[object, ...], message: str) -> None:
    for n in (1, 2):
        shown = charlm("sample", "-n", n, *flags, code=2)
        assert (shown.out, shown.err) == ("", f"{message}\n")
