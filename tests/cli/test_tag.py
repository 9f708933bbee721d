"""charlm tag, and charlm train --task tag."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import charlm
from tests.cli.tiny import Terminal, make_model
from tests.tasks.tiny import random_tagger

MODEL = random_tagger()
TEXT = "abc A, cd. aA AB"


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model that labels tokens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    MODEL.save("charlm.safetensors")
    return Terminal(capsys)


def test_tokens_are_printed_in_columns_with_their_labels(terminal: Terminal) -> None:
    found = MODEL.tag(TEXT)
    lines = [f"{token}\t{label}" for token, label in zip(found.tokens, found.labels, strict=True)]
    assert terminal("tag", TEXT).out.splitlines() == [*lines, ""]
    Path("texts.txt").write_text(f"{TEXT}\n\n{TEXT}\n")
    assert terminal("tag", "--file", "texts.txt").out.splitlines() == [*lines, "", "", *lines, ""]


def test_columns_of_a_file_stay_and_labels_are_the_last(terminal: Terminal) -> None:
    Path("a.conll").write_text("abc\tX\nA\tY\n\ncd\tZ\n")
    (one, two) = MODEL.tag_each([["abc", "A"], ["cd"]])
    expected = [f"abc\tX\t{one.labels[0]}", f"A\tY\t{one.labels[1]}", "", f"cd\tZ\t{two.labels[0]}", ""]
    assert terminal("tag", "--conll", "--file", "a.conll").out.splitlines() == expected


def test_json_has_tokens_labels_probabilities_and_spans(terminal: Terminal) -> None:
    Path("texts.txt").write_text(f"ab\n{TEXT}\n")
    rows = [json.loads(line) for line in terminal("tag", "--file", "texts.txt", "--json").out.splitlines()]
    found = MODEL.tag(TEXT)
    assert rows[1]["text"] == TEXT
    assert (rows[1]["tokens"], rows[1]["labels"]) == (list(found.tokens), list(found.labels))
    assert rows[1]["probabilities"] == pytest.approx(found.probabilities, rel=1e-4)
    assert len(rows[1]["spans"]) == len(found.spans) > 0
    for span in rows[1]["spans"]:
        assert TEXT[span["start"] : span["stop"]] == span["text"]
        assert span["label"] in ("PER", "LOC")
    assert (rows[1]["file"], rows[1]["line"]) == ("texts.txt", 2)


def test_spans_are_marked(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    marked = terminal("tag", "--mark", TEXT).out.rstrip("\n")
    for kind in ("PER", "LOC"):
        marked = marked.replace(f" {kind}]", "")
    assert marked.replace("[", "") == TEXT
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in terminal("tag", "--mark", TEXT).out


def test_evaluation_prints_tokens_and_entities(terminal: Terminal) -> None:
    found = MODEL.tag(TEXT)
    wrong = ["O" if k == 0 else label for k, label in enumerate(found.labels)]
    rows = (f"{token}\t{label}\n" for token, label in zip(found.tokens, wrong, strict=True))
    Path("a.conll").write_text("".join(rows))
    first, head, *table = terminal("tag", "--evaluate", "a.conll").out.splitlines()
    right = sum(a == b for a, b in zip(wrong, found.labels, strict=True))
    assert first == f"a.conll: {right / len(wrong):.2%} of {len(wrong)} tokens right"
    assert head.split() == ["entities", "precision", "recall", "F1", "in", "the", "file"]
    assert {row.split()[0] for row in table} <= {"PER", "LOC", "all"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--conll", "--file", "bad.conll"), 0, ""),
        (("--evaluate", "bad.conll"), 1, "bad.conll: line 1 has one column; expected: token TAB label"),
        (("--evaluate", "bad.conll", "--json"), 2, "--evaluate reads its FILE and prints a table"),
        (("-m", "language", "abc"), 2, "tagging needs a model of the task 'tag'; this model predicts text"),
    ],
)
def test_what_does_not_fit_is_refused(terminal: Terminal, arguments: tuple[str, ...], code: int, message: str) -> None:
    Path("bad.conll").write_text("abc\n")
    make_model(Path("language"))
    assert message in terminal("tag", *arguments, code=code).err


def test_train_learns_labels_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("ab\tO\nAb\tB-X\nBb\tI-X\n\nba\tO\nBa\tB-X\n\n" * 30)
    flags = ("--hidden", 8, "--batch", 4, "--steps", 80, "--threads", 1, "--lr", 0.05, "--dropout", 0)
    done = charlm("train", "a.conll", "--task", "tag", *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "3 labels" in done.err
    assert "next: charlm tag --file FILE -m charlm.safetensors" in done.err
    shown = charlm("tag", "ba Ab Ba", cwd=tmp_path).out.splitlines()
    assert shown == ["ba\tO", "Ab\tB-X", "Ba\tI-X", ""] or shown[:2] == ["ba\tO", "Ab\tB-X"]
