"""charlm sample: prompts from a file, endless texts, the log-probability of each character."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.tiny import Terminal, make_model


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(tmp_path / "charlm.safetensors", training={"sources": ["a.txt"]})
    make_model(tmp_path / "lines.safetensors", lines=True)
    return Terminal(capsys)


def records(shown: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in shown.splitlines()]


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("model", ["charlm.safetensors", "lines.safetensors"])
def test_each_line_of_a_file_is_continued_as_by_itself(charlm: Terminal, model: str, n: int, form: list[str]) -> None:
    Path("prompts.txt").write_text("ab\n\nc d\n")
    flags = ["-m", model, "--seed", 3, "--length", 9, "-n", n, *form]
    alone = [charlm("sample", "-p", prompt, *flags).out for prompt in ("ab", "", "c d")]
    together = charlm("sample", "--prompts", "prompts.txt", *flags).out
    if model == "charlm.safetensors" and n == 1 and not form:
        alone = [f"{text}\n" for text in alone]  # an empty line separates running texts
    assert together == "".join(alone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompts", "empty.txt"], "empty.txt: no prompt in it; write one on each line"),
        (["--prompts", "prompts.txt", "-p", "a"], "--prompts and --prompt or --prompt-file exclude each other"),
        (["--per-char"], "--per-char adds to records; pass --json or --tsv, too"),
        (["--length", "0", "-n", "2"], "--length 0 writes one text, and this model never ends it"),
        (["--length", "0", "--json"], "--length 0 writes one text, and this model never ends it"),
    ],
)
def test_options_without_effect_are_refused(charlm: Terminal, arguments: list[str], message: str) -> None:
    Path("empty.txt").write_text("")
    Path("prompts.txt").write_text("a\n")
    assert message in charlm("sample", *arguments, code=2).err


def test_strict_refuses_an_unknown_character_of_a_later_prompt(charlm: Terminal) -> None:
    Path("prompts.txt").write_text("ab\nxyz\n")
    refused = charlm("sample", "--prompts", "prompts.txt", "--strict", code=1)
    assert "'x' is not in the model's vocabulary" in refused.err
    assert "has never seen 'x' 'y' 'z'" in charlm("sample", "--prompts", "prompts.txt", "--length", 3).err


def test_records_have_the_log_probability_of_each_character(charlm: Terminal) -> None:
    plain = records(charlm("sample", "-m", "lines.safetensors", "-n", 5, "--seed", 1, "--json").out)
    found = records(charlm("sample", "-m", "lines.safetensors", "-n", 5, "--seed", 1, "--json", "--per-char").out)
    for record, other in zip(found, plain, strict=True):
        log_probs = record.pop("log_probs")
        assert record == other
        assert isinstance(log_probs, list)
        assert len(log_probs) == len(str(record["text"])) + bool(record["ended"])
        assert sum(log_probs) == pytest.approx(record["log_prob"])
    head, *rows = charlm("sample", "-n", 2, "--length", 4, "--tsv", "--per-char").out.splitlines()
    assert head.endswith("\tlog_probs")
    assert len(json.loads(rows[0].split("\t")[-1])) == 4


def test_length_0_is_an_endless_text(charlm: Terminal) -> None:
    command = [sys.executable, "-m", "charlm", "sample", "--length", "0", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        start = process.stdout.read(20_000)
        process.stdout.close()
        assert process.wait(timeout=60) in (0, 1, 141)
    expected = charlm("sample", "--length", 500, "--seed", 1).out
    assert start[:500] == expected[:500]
    assert len(start) == 20_000


def test_a_model_of_lines_ends_texts_without_a_maximum_length(charlm: Terminal) -> None:
    found = records(charlm("sample", "-m", "lines.safetensors", "--length", 0, "-n", 4, "--json").out)
    assert [record["ended"] for record in found] == [True] * 4
