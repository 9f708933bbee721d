"""charlm translate, and charlm train --task pairs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.command import charlm
from tests.cli.test_records import tables
from tests.cli.tiny import Terminal, make_model
from tests.tasks.tiny import random_translator

MODEL = random_translator()
SOURCES = ["abc", "", "cccc", "c c"]


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model of pairs, and sources."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    MODEL.save("charlm.safetensors")
    Path("sources.txt").write_text("".join(f"{source}\n" for source in SOURCES))
    return Terminal(capsys)


def test_each_source_and_each_line_gets_a_line(terminal: Terminal) -> None:
    targets = [MODEL.translate(source).target for source in SOURCES]
    assert terminal("translate", *SOURCES).out.splitlines() == targets
    assert terminal("translate", "dd", "--file", "sources.txt").out.splitlines() == [
        MODEL.translate("dd").target, *targets,
    ]  # fmt: skip
    assert len(set(targets)) > 2


def test_best_targets_have_probabilities(terminal: Terminal) -> None:
    found = MODEL.translate("abc", beam=4, best=3)
    expected = ["abc", *(f"{one.probability:.2%} {one.target}" for one in found.candidates)]
    lines = terminal("translate", "abc", "-k", 3, "--beam", 4).out.splitlines()
    assert [" ".join(line.split()) for line in lines] == [line.strip() for line in expected]
    assert len(lines) == 4


def test_records_have_the_keys_of_the_page_and_the_same_values(terminal: Terminal) -> None:
    flags = ("--file", "sources.txt", "-k", 2)
    records = [json.loads(line) for line in terminal("translate", *flags, "--json").out.splitlines()]
    one, candidate = tables("translate")[:2]
    assert [list(record) for record in records] == [list(one)] * 4
    assert [record["source"] for record in records] == SOURCES
    assert [record["line"] for record in records] == [1, 2, 3, 4]
    for record in records:
        assert all(list(found) == list(candidate) for found in record["candidates"])
        assert record["target"] == record["candidates"][0]["target"]
    rows = list(csv.DictReader(terminal("translate", *flags, "--tsv").out.splitlines(), delimiter="\t"))
    flat = [(record["source"], found["target"]) for record in records for found in record["candidates"]]
    assert [(row["source"], row["target"]) for row in rows] == flat
    assert [row["rank"] for row in rows] == ["1", "2", "1", "1", "2", "1", "2"]


def test_length_exponent_prefers_longer_targets(terminal: Terminal) -> None:
    lengths = [len(terminal("translate", *SOURCES, "--beam", 5, "--length-exponent", power).out) for power in (0, 1)]
    assert lengths[1] > lengths[0]


def test_evaluation_counts_sources_with_one_of_their_targets(terminal: Terminal) -> None:
    right, wrong = MODEL.translate("abc").target, MODEL.translate("cccc").target + "x"
    Path("pairs.tsv").write_text(f"abc\tzzz\nabc\t{right}\ncccc\t{wrong}\n")
    shown = terminal("translate", "--evaluate", "pairs.tsv").out
    rate = 1 / (len(right) + len(wrong))
    assert shown == f"pairs.tsv: 50.00% of 2 sources right; error rate of the characters {rate:.2%}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--evaluate", "pairs.tsv", "abc"), 2, "--evaluate reads its FILE and prints a summary"),
        (("--evaluate", "sources.txt"), 1, "sources.txt: line 1 has no tab; expected: source TAB target"),
        (("abc", "--beam", "0"), 2, "Invalid value for '--beam'"),
        (("abc", "--length-exponent", "-1"), 2, "--length-exponent is -1.0; expected 0 or more"),
        (("abc", "-m", "language"), 2, "translating needs a model of the task 'pairs'; this model predicts text"),
    ],
)
def test_wrong_use_is_refused_in_one_line(
    terminal: Terminal, arguments: tuple[str, ...], code: int, message: str
) -> None:
    make_model(Path("language"))
    Path("pairs.tsv").write_text("a\tb\n")
    shown = terminal("translate", *arguments, code=code)
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_commands_for_other_models_name_translate(terminal: Terminal) -> None:
    for command in (("sample",), ("score", "a"), ("classify", "a"), ("tag", "a")):
        assert "it is for `charlm translate`" in terminal(*command, code=2).err


def test_info_describes_encoder_and_decoder(terminal: Terminal) -> None:
    shown = terminal("info").out
    assert "lstm, 6 units x 2 in encoder and decoder" in shown
    assert "loads into two torch.nn.LSTM" in shown
    assert "pairs, 4 labels with END: x y z" in shown
    facts = json.loads(terminal("info", "--json").out)
    assert (facts["config"]["encoder_decoder"], facts["text"]["target_unit"]) == (True, "char")


def test_train_writes_a_model_that_translates(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("".join(f"{a}{b}\t{a.upper()} {b.upper()}1\n" for a in "abcd" for b in "efgh"))
    flags = ("--task", "pairs", "--target-unit", "symbol", "--hidden", 16, "--steps", 60, "--threads", 1, "--batch", 4)
    done = charlm("train", "p.tsv", *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "encoder-decoder lstm 16x1, batch 4, dropout" in done.err
    assert "next: charlm translate --file FILE -m charlm.safetensors" in done.err
    found = charlm("translate", "-", cwd=tmp_path, stdin=b"ae\nbf\n").out.splitlines()
    assert len(found) == 2
    assert {symbol for target in found for symbol in target.split()} <= {*"ABCD", "E1", "F1", "G1", "H1"}
