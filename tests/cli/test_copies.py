"""charlm copies, and sample --max-copy."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

import charlm as package
from tests.cli.test_records import tables
from tests.cli.tiny import Terminal, make_model

CORPUS = "".join(f"{k:x} some words of line {k * k}\n" for k in range(200))
TEXT = f"new here\n{CORPUS[100:160]}other\n{CORPUS[3000:3025]}##"


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    Path("corpus.txt").write_text(CORPUS)
    Path("story.txt").write_text(TEXT)
    make_model(tmp_path / "charlm.safetensors", training={"sources": ["corpus.txt"]})
    return Terminal(capsys)


@pytest.mark.parametrize("arguments", [[], ["--corpus", "corpus.txt", "-m", "nowhere.safetensors"]])
def test_json_is_what_python_finds(charlm: Terminal, arguments: list[str]) -> None:
    found = package.copies(TEXT, "corpus.txt")
    record = json.loads(charlm("copies", "story.txt", "--json", *arguments).out)
    assert record["fraction"] == found.fraction > 0
    assert record["novel"] == list(found.novel)
    assert [(run["index"], run["length"], run["corpus_index"], run["corpus_line"]) for run in record["runs"]] == [
        (run.index, len(run), run.source_index, run.source_line) for run in found.runs
    ]
    assert (record["file"], record["runs"][0]["corpus"]) == ("story.txt", "corpus.txt")


def test_rows_have_the_line_and_column_of_each_run(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    head, *rows = charlm("copies", "-", "--tsv", "--corpus", "corpus.txt").out.splitlines()
    columns = [dict(zip(head.split("\t"), row.split("\t"), strict=True)) for row in rows]
    first, last = columns[0], columns[-1]
    start = TEXT.index(CORPUS[100:160])
    assert int(first["index"]) <= start < int(first["index"]) + int(first["length"])
    for row in columns:
        before = TEXT[: int(row["index"])]
        assert (int(row["line"]), int(row["column"])) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert int(last["corpus_index"]) == 3000


def test_table_has_the_measures_the_novelty_and_the_longest_first(charlm: Terminal) -> None:
    found = package.copies(TEXT, "corpus.txt", min_length=10)
    measures, novelty, runs = charlm("copies", "story.txt", "--min-length", 10).out.split("\n\n")
    assert f"copied      {found.copied:,} ({found.fraction:.1%}), in runs of 10 characters or more" in measures
    assert f"longest     {found.longest:,} characters" in measures
    assert novelty.splitlines()[1].split()[1:] == [f"{found.novel[n - 1]:.1%}" for n in (5, 10, 15, 20, 25, 30, 40, 50)]
    lengths = [int(row.split()[0]) for row in runs.splitlines()[1:] if not row.startswith("...")]
    assert lengths == sorted(map(len, found.runs), reverse=True)[:20]
    assert lengths[0] == found.longest


def test_keys_are_those_of_the_page(charlm: Terminal) -> None:
    record = json.loads(charlm("copies", "story.txt", "--json").out)
    assert [list(record), list(record["runs"][0])] == [list(table) for table in tables("copies")]
    head = charlm("copies", "story.txt", "--tsv").out.splitlines()[0]
    assert head.split("\t") == ["line", "column", *record["runs"][0]]


@pytest.mark.parametrize("command", [["copies", "story.txt"], ["sample", "--max-copy", "9", "--length", "5"]])
def test_a_training_text_that_is_not_here_is_to_be_named(charlm: Terminal, command: list[str]) -> None:
    Path("corpus.txt").rename("moved.txt")
    assert "corpus.txt is not here; name the training text with --corpus FILE" in charlm(*command, code=2).err
    assert charlm(*command, "--corpus", "moved.txt").out
    make_model(Path("new.safetensors"))
    assert "does not say what it was trained on" in charlm(*command, "-m", "new.safetensors", code=2).err


def test_samples_have_no_longer_copies(charlm: Terminal) -> None:
    Path("corpus.txt").write_text("abcd " * 3 + "\n")
    flags = ["--seed", 1, "--length", 400, "--temp", 0.3]
    free, limited = charlm("sample", *flags).out, charlm("sample", *flags, "--max-copy", 5).out
    Path("free.txt").write_text(free)
    Path("limited.txt").write_text(limited)
    longest = [package.copies(text, "corpus.txt", min_length=10).longest for text in (free, limited)]
    assert longest[1] <= 5
    assert "--max-copy is 3; expected 5 or more" in charlm("sample", "--max-copy", 3, code=2).err
