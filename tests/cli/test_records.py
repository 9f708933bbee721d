"""Records of --json and --tsv: keys as in docs/reference/output.md, and the same values in both forms."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from charlm.cli.records import KEYS_OF_WORDS
from charlm.cli.tables import in_tsv
from charlm.model import LanguageModel
from tests.cli.tiny import Terminal, make_model

PAGE = (Path(__file__).parents[2] / "docs/reference/output.md").read_text(encoding="utf-8")
TEXT = "ab_a\ncd"
COMMANDS: dict[str, tuple[str, ...]] = {
    "score": ("score", "--file", "t.txt", "--lines"),
    "score --summary": ("score", "--summary", "a", "b c"),
    "score --per-char": ("score", "--per-char", "--file", "t.txt", "-k", "2"),
    "score --per-word": ("score", "--per-word", "ab c", "--eos"),
    "score --rank": ("score", "--rank", "--file", "groups.tsv"),
    "classify": ("classify", "-m", "charlm.safetensors", "-m", "other.safetensors", "a", "b c"),
    "odd": ("odd", "--file", "t.txt"),
    "odd --spots": ("odd", "--file", "t.txt", "--spots"),
    "fill": ("fill", "--file", "t.txt"),
    "proof": ("proof", "-m", "both.safetensors", "--file", "t.txt", "--least", "-99"),
    "sample": ("sample", "-n", "3", "--seed", "1", "--length", "5", "--per-char"),
    "next": ("next", "ab c", "-k", "2"),
    "cells": ("cells", *["ab_a\ncd b"] * 40),
    "cells --cell": ("cells", "--cell", "0.3", "ab cd"),
    "gradients": ("gradients", "--file", "t.txt", "--back", "2"),
}
"""A command for each section of the page."""
ELSEWHERE = ("copies", "inspect", "restore", "tag", "translate", "write")
"""Sections that the tests of these commands compare."""
LIKE = {"odd": "score", "odd --spots": "score --per-char"}
"""Sections whose keys are those of another."""
TOKENS = {"char": list("abcd_ \n"), "word": ["ab", "cd", "a", "b", "c", "_", " ", "\n"]}

every_record = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(params=["char", "word"])
def unit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unit: str) -> Terminal:
    """Run commands in a folder with models of a unit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    (tmp_path / "t.txt").write_text(TEXT)
    (tmp_path / "groups.tsv").write_text("one\tab\none\tcd\ntwo\tab cd\n")
    for k, name in enumerate(("charlm", "other", "both")):
        make_model(
            tmp_path / f"{name}.safetensors", seed=k, tokens=TOKENS[unit], unit=unit, bidirectional=name == "both"
        )
    return Terminal(capsys)


def tables(section: str) -> list[dict[str, str]]:
    """Return the keys and values of each table in a section of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    parts = text.split("|---|---|\n")[1:]
    return [dict(re.findall(r"^\| `(\w+)` \| ?(.*) ?\|$", part.partition("\n\n")[0], re.MULTILINE)) for part in parts]


def records(charlm: Terminal, name: str) -> list[dict[str, Any]]:
    """Return the records of a command in JSON."""
    return [json.loads(line) for line in charlm(*COMMANDS[name], "--json").out.splitlines()]


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of TSV by its header."""
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def in_words(keys: list[str], has_old_keys: bool) -> list[str]:
    """Return the keys of a model of words for those of a model of characters."""
    renamed = [KEYS_OF_WORDS.get(key, key) for key in keys]
    return renamed + [key for key in keys if key in KEYS_OF_WORDS] * has_old_keys


@every_record
def test_keys_are_those_of_the_page(charlm: Terminal, name: str, unit: str) -> None:
    keys = list(tables(LIKE.get(name, name))[0])
    if unit == "word":
        keys = in_words(keys, has_old_keys=name in ("score", "proof"))
    found = records(charlm, name)
    assert found
    assert [list(record) for record in found] == [keys] * len(found)
    assert {record["unit"] for record in found} == {unit}


def test_keys_of_nested_objects_are_those_of_the_page(charlm: Terminal, unit: str) -> None:
    one = "character" if unit == "char" else "token"
    (filled,) = records(charlm, "fill")
    assert all(list(reading) == list(tables("fill")[1]) for reading in filled["readings"])
    for record in records(charlm, "score --per-char"):
        assert [list(other) for other in record["alternatives"]] == [[one, "probability"]] * 2
    for record in records(charlm, "proof"):
        keys = [one, "probability", *["character"] * (unit == "word"), "replacement", "kind"]
        assert all(list(other) == keys for other in record["proposals"])


def test_page_lists_the_keys_of_words() -> None:
    assert {old: new.strip("` ") for old, new in tables("Models of words")[0].items()} == KEYS_OF_WORDS


def test_page_has_a_section_for_each_record() -> None:
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert sorted(sections) == sorted([*COMMANDS, *ELSEWHERE, "Models of words"])


@every_record
def test_tsv_has_the_values_of_json(charlm: Terminal, name: str) -> None:
    found = records(charlm, name)
    table = rows(charlm(*COMMANDS[name], "--tsv").out)
    if name in ("classify", "fill", "gradients"):
        head = re.search(rf"\n## {name}\n.*?columns of `--tsv`[^`]*`([^`]+)`", PAGE, re.DOTALL)
        assert head is not None
        assert set(head[1].split()) <= set(table[0])
        return
    expected = [{key: in_tsv(value) for key, value in record.items()} for record in found]
    assert table == expected


@every_record
def test_log_probs_are_in_nats_and_agree_with_probabilities(charlm: Terminal, name: str) -> None:
    """`--base` changes tables alone."""
    base = ("--base", "2") if name.startswith("score") else ()
    for line in charlm(*COMMANDS[name], *base, "--json").out.splitlines():
        record = json.loads(line)
        if "surprisal_bits" in record:
            assert record["log_prob"] == pytest.approx(math.log(record["probability"]))
            assert record["surprisal_bits"] == pytest.approx(-record["log_prob"] / math.log(2))
        elif name in ("score", "score --rank", "odd"):
            assert record["log_prob"] == pytest.approx(model().score(record["text"]).log_prob)
        elif name == "sample" and record["unit"] == "char":  # words that were drawn may join
            assert record["log_prob"] == pytest.approx(model().score(record["text"]).log_prob, abs=1e-4)


def model() -> LanguageModel:
    """Return the model of the current folder."""
    return LanguageModel.load("charlm.safetensors")


def test_characters_have_index_line_and_column(charlm: Terminal, unit: str) -> None:
    pieces = [
        ("a", 0, 1, 1),
        ("b", 1, 1, 2),
        ("_", 2, 1, 3),
        ("a", 3, 1, 4),
        ("\n", 4, 1, 5),
        ("c", 5, 2, 1),
        ("d", 6, 2, 2),
    ]
    if unit == "word":
        pieces = [("ab", 0, 1, 1), *pieces[2:5], ("cd", 5, 2, 1)]
    key = "character" if unit == "char" else "token"
    for name in ("score --per-char", "odd --spots", "proof"):
        found = [(row[key], row["index"], row["line"], row["column"]) for row in records(charlm, name)]
        assert sorted(found, key=lambda row: row[1]) == [p for p in pieces if name != "proof" or p in found]
        assert found


def test_lines_of_characters_are_those_of_the_file(charlm: Terminal) -> None:
    out = charlm("score", "--per-char", "--lines", "--file", "t.txt", "--json").out
    assert [json.loads(line)["line"] for line in out.splitlines()][-1] == 2


def test_groups_are_ranked(charlm: Terminal) -> None:
    found = records(charlm, "score --rank")
    assert [(row["group"], row["rank"]) for row in found] == [("one", 1), ("one", 2), ("two", 1)]
    assert found[0]["probability"] + found[1]["probability"] == pytest.approx(1)
    assert {row["text"]: row["line"] for row in found} == {"ab": 1, "cd": 2, "ab cd": 3}


def test_samples_are_the_texts_of_the_plain_form(charlm: Terminal) -> None:
    run = ("sample", "-p", "ab", "-n", "2", "--seed", "4", "--length", "6")
    plain = charlm(*run).out
    found = [json.loads(line) for line in charlm(*run, "--json").out.splitlines()]
    assert plain == "".join(f"{row['text']}\n\n" for row in found)
    assert [(row["prompt"], row["index"]) for row in found] == [("ab", 0), ("ab", 1)]
    assert all(row["ended"] == (len(row["text"]) < len("ab") + 6) for row in found if row["unit"] == "char")


def test_number_of_alternatives(charlm: Terminal) -> None:
    for k in (1, 2):
        for name, key in (
            ("odd --spots", "alternatives"),
            ("score --per-char", "alternatives"),
            ("proof", "proposals"),
        ):
            lines = charlm(*COMMANDS[name], "--json", "-k", k).out.splitlines()
            assert max(len(json.loads(line)[key]) for line in lines) == k


@pytest.mark.parametrize(
    "flags",
    [
        ("score", "a", "--json", "--tsv"),
        ("score", "a", "--tsv", "--json"),
        ("sample", "--json", "--tsv"),
        ("score", "a", "--summary", "--per-char"),
        ("score", "a", "--rank", "--summary"),
    ],
)
def test_contradicting_flags_are_refused(charlm: Terminal, flags: tuple[str, ...]) -> None:
    shown = charlm(*flags, code=2)
    assert shown.out == ""
    assert re.search(r"--[\w-]+ and --[\w-]+ exclude each other; pass one of them", shown.err)


def test_colour_of_records_is_refused(charlm: Terminal) -> None:
    assert (
        "--color and --json exclude each other" in charlm("score", "a", "--per-char", "--color", "--json", code=2).err
    )


def test_base_of_records_is_reported(charlm: Terminal) -> None:
    shown = charlm("score", "a", "--base", "2", "--json")
    assert shown.err == "charlm: --base 2 changes tables and summaries; --json prints nats\n"
    assert charlm("score", "a", "--base", "2", "--json", "-q").err == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, ""), (True, "1"), (False, "0"), ("a\tb\\\n", "a\\tb\\\\\\n"), ((1, "é"), '[1, "é"]'), (0.5, "0.5")],
)
def test_cells_of_tsv(value: object, cell: str) -> None:
    assert in_tsv(value) == cell
