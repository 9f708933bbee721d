"""charlm restore, and charlm train --task restore."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import charlm
from tests.cli.tiny import Terminal, make_model
from tests.tasks.tiny import random_restorer

TEXT = "abc els. Éa\nsle cba www.abc.es\n"


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model that restores, and a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    random_restorer("marks,case").save("charlm.safetensors")
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    return Terminal(capsys)


def restored(text: str) -> str:
    return random_restorer("marks,case").restore(text)


def test_text_and_file_are_restored(terminal: Terminal) -> None:
    assert terminal("restore", "abc els").out == restored("abc els") + "\n"
    assert terminal("restore", "--file", "text.txt").out == restored(TEXT)
    assert restored(TEXT) != TEXT


def test_newlines_and_normal_form_of_a_file_stay(terminal: Terminal) -> None:
    written = "e\u0301a\r\nels\r\n"
    Path("crlf.txt").write_bytes(written.encode())
    shown = terminal("restore", "--file", "crlf.txt", "--min-prob", 1)
    assert shown.out == written


def test_lines_are_restored_one_by_one(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "abc\n\nels sle\nabc"
    expected = "".join(restored(line) for line in text.splitlines(keepends=True))
    Path("lines.txt").write_text(text)
    assert terminal("restore", "--lines", "--file", "lines.txt").out == expected
    assert expected != restored(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert terminal("restore", "--lines", "--file", "-").out == expected


def test_diff_marks_the_changes(terminal: Terminal) -> None:
    shown = terminal("restore", "--file", "text.txt", "--diff").out
    rows = [json.loads(line) for line in terminal("restore", "--file", "text.txt", "--json").out.splitlines()]
    assert rows
    assert shown.count("{+") == len(rows)
    as_before = shown
    for row in rows:
        old, new = row["original"], row["restored"]
        mark = f"{old}{{+{new.removeprefix(old)}+}}" if new.startswith(old) else f"[-{old}-]{{+{new}+}}"
        as_before = as_before.replace(mark, old, 1)
    assert as_before == TEXT


def test_diff_is_coloured_where_colours_are_wanted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = terminal("restore", "--file", "text.txt", "--diff").out
    assert "\x1b[32m" in shown
    assert "{+" not in shown


@pytest.mark.parametrize("lines", [False, True])
def test_records_say_where_each_change_is(terminal: Terminal, lines: bool) -> None:
    Path("long.txt").write_text(TEXT * 3, encoding="utf-8")
    flags = ["--lines"] if lines else []
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in terminal("restore", "--file", "long.txt", "--json", *flags).out.splitlines()
    ]
    assert {row["line"] for row in rows} >= {1, 3}
    for row in rows:
        line = (TEXT * 3).splitlines()[row["line"] - 1]
        assert line[row["column"] - 1 :].startswith(row["original"])
        assert (TEXT * 3)[row["index"] :].startswith(row["original"])
        assert 0 < row["probability"] <= 1
        assert row["file"] == "long.txt"
    table = terminal("restore", "--file", "long.txt", "--tsv", *flags).out.splitlines()
    assert table[0].split("\t") == list(rows[0])
    assert len(table) == len(rows) + 1


def test_evaluation_prints_words_and_kinds(terminal: Terminal) -> None:
    words, head, *rows = terminal("restore", "--file", "text.txt", "--evaluate").out.splitlines()
    assert words.startswith("words: ")
    assert " of 6 right; 83.33% unrestored" in words
    assert head.split() == ["restored", "precision", "recall", "F1", "in", "the", "text"]
    assert [row.split()[0] for row in rows] == ["marks", "case"]
    assert [row.split()[-1] for row in rows] == ["1", "1"]


def test_forms_exclude_each_other(terminal: Terminal) -> None:
    shown = terminal("restore", "a", "--diff", "--json", code=2)
    assert "--diff, --evaluate, --json and --tsv exclude each other" in shown.err


def test_commands_and_models_that_do_not_fit_say_what_they_are_for(terminal: Terminal) -> None:
    for command in (["sample"], ["score", "a"], ["next", "a"], ["fill", "a_"], ["odd", "--file", "text.txt"]):
        assert "it is for `charlm restore`" in terminal(*command, code=2).err
    make_model(Path("language"))
    shown = terminal("restore", "-m", "language", "a", code=2)
    assert "restoring needs a model of the task 'restore'; this model predicts text" in shown.err


def test_info_describes_the_task(terminal: Terminal) -> None:
    shown = terminal("info").out
    assert "task          restore marks,case, 6 labels" in shown
    facts = json.loads(terminal("info", "--json").out)
    assert (facts["text"]["task"], facts["text"]["remove"]) == ("restore", "marks,case")
    assert facts["labels"][:2] == ["|||", "||\u0301|"]
    assert facts["config"]["outputs"] == 6


def test_train_writes_a_model_that_restores(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Příliš kůň\nPěl ódy\n" * 40, encoding="utf-8")
    flags = ("--hidden", 8, "--batch", 4, "--bptt", 24, "--threads", 1, "--steps", 4)
    done = charlm("train", "text.txt", "--task", "restore", "--remove", "marks,case", *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "labels, " in done.err
    assert "nats/label" in done.err
    assert "next: charlm restore --file FILE -m charlm.safetensors" in done.err
    assert charlm("restore", cwd=tmp_path, stdin=b"kun\n").out.lower().startswith("k")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "restore"], "needs --remove, such as --remove marks"),
        (["--remove", "marks"], "--remove is a setting of the task 'restore'; leave it out, or pass --task restore"),
        (["--task", "restore", "--remove", "vowels"], "--remove is 'vowels'; expected one or more of marks"),
    ],
)
def test_train_names_the_flags_that_do_not_fit(terminal: Terminal, flags: list[str], message: str) -> None:
    assert message in terminal("train", "text.txt", "-m", "new", "--steps", 1, *flags, code=2).err
