"""charlm sample and charlm score, through the installed command."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import charlm, files_in
from tests.cli.conftest import VERSE

KEYS = ["text", "characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity"]


class TestSample:
    def test_writes_text_of_the_length(self, verse_model: Path) -> None:
        done = charlm("sample", "-m", verse_model, "--length", 50, "--seed", 1, cwd=verse_model.parent)
        assert (done.code, done.err) == (0, "")
        assert len(done.out) == 51
        assert set(done.out) <= set(VERSE)

    def test_same_seed_same_text(self, verse_model: Path) -> None:
        run = ("sample", "-m", verse_model, "--length", 40, "--seed")
        texts = [charlm(*run, seed, cwd=verse_model.parent).out for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]

    def test_prompt_is_printed_and_continued(self, verse_model: Path) -> None:
        done = charlm("sample", "--prompt", "the quick", "--temp", 0, "--length", 6, cwd=verse_model.parent)
        assert done.out.startswith("the quick")
        assert len(done.out) == len("the quick") + 7

    def test_prompt_from_a_file_and_standard_input(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "prompt.txt").write_text("and runs")
        run = ("sample", "-m", verse_model, "--length", 3, "--prompt-file")
        assert charlm(*run, "prompt.txt", cwd=tmp_path).out.startswith("and runs")
        assert charlm(*run, "-", cwd=tmp_path, stdin=b"jumps").out.startswith("jumps")

    def test_prompt_file_continues_the_prompt(self, verse_model: Path, tmp_path: Path) -> None:
        run = ("sample", "-m", verse_model, "--length", 3, "--prompt", "and ", "--prompt-file", "-")
        assert charlm(*run, cwd=tmp_path, stdin=b"runs").out.startswith("and runs")

    def test_unknown_characters_in_a_prompt_cause_a_warning(self, verse_model: Path) -> None:
        done = charlm("sample", "--prompt", "the 狐", "--length", 4, cwd=verse_model.parent)
        assert done.code == 0
        assert "'狐'" in done.err
        assert done.out.startswith("the 狐")

    def test_stop(self, verse_model: Path) -> None:
        done = charlm("sample", "--stop", "\n", "--length", 500, "--seed", 3, cwd=verse_model.parent)
        assert done.out.count("\n") == 2  # one of the text, one after the text

    def test_a_model_of_lines_writes_lines(self, names_model: Path) -> None:
        done = charlm("sample", "-n", 20, "--seed", 1, cwd=names_model.parent)
        assert len(done.out.splitlines()) == 20
        assert max(map(len, done.out.splitlines())) <= 60  # ended by EOS, not by the length

    def test_several_texts_are_separated(self, verse_model: Path) -> None:
        run = ("sample", "-m", verse_model, "--prompt", "fox ", "--seed", 2, "--length", 8)
        alone = charlm(*run, cwd=verse_model.parent).out
        both = charlm(*run, "-n", 2, "--stop", "\n", cwd=verse_model.parent).out
        assert both.count("fox ") == 2
        assert both.endswith("\n\n")
        assert both.startswith(alone.rstrip("\n").split("\n")[0])

    @pytest.mark.parametrize(
        ("flag", "value", "message"),
        [
            ("--temp", -1, "--temp is -1.0; expected 0 or more"),
            ("--top-k", -2, "--top-k is -2"),
            ("--top-p", 0, "--top-p is 0.0; expected in (0, 1]"),
            ("--length", -1, "--length is -1"),
            ("--seed", -1, "--seed is -1"),
            ("-n", 0, "0 is not in the range"),
        ],
    )
    def test_out_of_range(self, verse_model: Path, flag: str, value: float, message: str) -> None:
        before = files_in(verse_model.parent)
        done = charlm("sample", flag, value, cwd=verse_model.parent)
        assert (done.code, done.out) == (2, "")
        assert files_in(verse_model.parent) == before
        assert message in done.err

    def test_a_closed_pipe_is_silent(self, verse_model: Path) -> None:
        command = f"{sys.executable} -m charlm sample -m {verse_model} --length 200000 | head -c 20"
        done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False)
        assert len(done.stdout) == 20
        assert done.stderr == b""


class TestScore:
    def test_json_has_the_keys_of_the_contract_in_input_order(self, verse_model: Path) -> None:
        done = charlm("score", "--json", "the lazy dog", "zzz qqq", "the ß", cwd=verse_model.parent)
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert all(list(row)[: len(KEYS)] == KEYS for row in rows)
        assert [row["text"] for row in rows] == ["the lazy dog", "zzz qqq", "the ß"]
        assert [row["unknown"] for row in rows] == [0, 0, 1]
        first = rows[0]
        assert first["characters"] == 12
        assert first["nats_per_char"] == pytest.approx(-first["log_prob"] / 12)
        assert first["bits_per_char"] == pytest.approx(first["nats_per_char"] / math.log(2))
        assert first["perplexity"] == pytest.approx(math.exp(first["nats_per_char"]))

    def test_the_table_ranks(self, verse_model: Path) -> None:
        done = charlm("score", "eht zyal god", "the lazy dog", cwd=verse_model.parent)
        head, best, worst = done.out.splitlines()
        assert "nats" in head
        assert "bits/char" in head
        assert best.endswith("the lazy dog")
        assert worst.endswith("eht zyal god")

    def test_relative_probabilities_are_those_of_the_totals(self, verse_model: Path) -> None:
        texts = ("lazy dog", "lazy fog", "lazy fox")
        rows = charlm("score", "--json", *texts, cwd=verse_model.parent).out.splitlines()
        weights = {text: math.exp(json.loads(row)["log_prob"]) for text, row in zip(texts, rows, strict=True)}
        table = charlm("score", *texts, cwd=verse_model.parent).out.splitlines()[1:]
        assert [row[-8:] for row in table] == sorted(texts, key=weights.__getitem__, reverse=True)
        for row in table:
            fraction = weights[row[-8:]] / sum(weights.values())
            (shown,) = [cell for cell in row.split() if cell.endswith("%")]
            assert float(shown.rstrip("%")) == pytest.approx(100 * fraction, abs=0.006)

    def test_the_end_counts_in_models_of_lines(self, names_model: Path, verse_model: Path) -> None:
        def log_prob(model: Path, *flags: str) -> float:
            done = charlm("score", "--json", *flags, "anna", cwd=model.parent)
            return float(json.loads(done.out)["log_prob"])

        assert log_prob(names_model) == log_prob(names_model, "--eos") < log_prob(names_model, "--no-eos")
        assert log_prob(verse_model) == log_prob(verse_model, "--no-eos") > log_prob(verse_model, "--eos")

    def test_chain_rule(self, verse_model: Path) -> None:
        import charlm as package

        model = package.load(verse_model)
        whole, first = model.score("the lazy dog"), model.score("the la")
        rest = model.score("zy dog", context="the la")
        assert whole.log_prob == pytest.approx(first.log_prob + rest.log_prob, abs=1e-4)


class TestModels:
    @pytest.mark.parametrize("command", ["sample", "score"])
    def test_missing_model_is_reported_with_the_command_that_trains_one(self, tmp_path: Path, command: str) -> None:
        done = charlm(command, *(["x"] if command == "score" else []), cwd=tmp_path)
        assert done.code == 1
        assert "no such model; train one with: charlm train" in done.err
        assert files_in(tmp_path) == {}

    @pytest.mark.parametrize("damage", ["cut", "foreign", "newer", "folder"])
    def test_unusable_model_is_refused(self, verse_model: Path, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "charlm.safetensors"
        data = verse_model.read_bytes()
        if damage == "folder":
            path.mkdir()
        elif damage == "newer":
            path.write_bytes(data.replace(b'format_version\\":1', b'format_version\\":9'))
            assert path.read_bytes() != data
        else:
            path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"%PDF-1.7 and so on" * 10)
        done = charlm("sample", cwd=tmp_path)
        assert (done.code, done.out) == (1, "")
        assert "charlm.safetensors" in done.err
        assert len(done.err.strip().splitlines()) == 1

    def test_model_in_any_folder_works(self, verse_model: Path, tmp_path: Path) -> None:
        shutil.copy(verse_model, tmp_path / "other.safetensors")
        assert charlm("score", "the", cwd=tmp_path, CHARLM_MODEL="other.safetensors").code == 0
