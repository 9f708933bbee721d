"""charlm next."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from charlm.cli.next import bar
from tests.cli.tiny import Terminal, make_model


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(tmp_path / "charlm.safetensors")
    make_model(tmp_path / "words.safetensors", tokens=["ab", "cd", " "], unit="word")
    return Terminal(capsys)


def test_table_has_the_characters_then_the_words_with_bars(charlm: Terminal) -> None:
    characters, words = charlm("next", "ab ", "-k", "3").out.split("\n\n")
    for title, table in (("character", characters), ("word", words)):
        head, *rows = table.splitlines()
        assert head.split() == [title, "p"]
        shares = [float(row.split("%")[0].split()[-1]) for row in rows]
        bars = [row.split("%")[1].strip() for row in rows]
        assert len(rows) == 3
        assert shares == sorted(shares, reverse=True)
        assert bars == [bar(share / 100) for share in shares]


def test_json_and_python_have_the_same_values(charlm: Terminal) -> None:
    from charlm.model import load

    expected = load("charlm.safetensors").next("ab c", words=4)
    records = [json.loads(line) for line in charlm("next", "ab c", "-k", "4", "--json").out.splitlines()]
    assert [record["text"] for record in records] == [one.text for one in (*expected.characters[:4], *expected.words)]
    assert [record["kind"] for record in records] == ["character"] * 4 + ["word"] * 4
    assert all(record["probability"] == pytest.approx(math.exp(record["log_prob"])) for record in records)
    assert all(record["word"] == "c" + record["text"] for record in records[4:])


def test_a_model_of_words_prints_words_alone(charlm: Terminal) -> None:
    out = charlm("next", "ab ", "-m", "words.safetensors").out
    assert "character" not in out
    assert "cd" in out


def test_prompt_is_read_from_standard_input(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    expected = charlm("next", "ab c", "--tsv").out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab c")))
    assert charlm("next", "-", "--tsv").out == expected


@pytest.mark.parametrize(("probability", "expected"), [(0, ""), (1, "█" * 40), (0.5, "█" * 20), (0.51, "█" * 20 + "▍")])
def test_bar_is_proportional(probability: float, expected: str) -> None:
    assert bar(probability) == expected
