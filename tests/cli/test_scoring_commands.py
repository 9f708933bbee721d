"""Forms of charlm score, charlm classify and charlm odd, through the installed command."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from charlm.cli import charlm as group
from charlm.cli.options import open_model
from charlm.kernels.threads import blas_libraries, set_threads
from charlm.model import LanguageModel
from tests.cli.command import charlm
from tests.cli.tiny import Terminal, make_model

LINES = "the lazy dog\n\njumps over\nzzz\n"


class TestInputs:
    def test_lines_of_a_file_and_standard_input_keep_their_order(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "lines.txt").write_text(LINES)
        from_file = charlm("score", "-m", verse_model, "--file", "lines.txt", "--lines", "--json", cwd=tmp_path)
        from_stdin = charlm(
            "score", "-m", verse_model, "--file", "-", "--lines", "--json", cwd=tmp_path, stdin=LINES.encode()
        )
        assert from_file.out.replace('"lines.txt"', '"-"') == from_stdin.out
        rows = [json.loads(line) for line in from_file.out.splitlines()]
        assert [row["text"] for row in rows] == LINES.splitlines()
        assert rows[1]["characters"] == 0
        assert rows[1]["bits_per_char"] is None

    def test_files_are_texts_and_follow_the_arguments(self, verse_model: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).write_text(f"{name} dog\n")
        done = charlm("score", "-m", verse_model, "fox", "--file", "a", "--file", "b", "--json", cwd=tmp_path)
        assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["fox", "a dog\n", "b dog\n"]

    @pytest.mark.parametrize("command", ["score", "fill"])
    def test_an_argument_that_names_a_file_is_scored_with_a_warning(
        self, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        make_model(tmp_path / "m.safetensors")
        here = Terminal(capsys)
        for name in ("a_", "b c_", "d_", "e_"):
            (tmp_path / name).write_text("the fox")
        (tmp_path / "folder").mkdir()

        def outcome(*arguments: str) -> tuple[list[str], str]:
            done = here(command, "-m", "m.safetensors", "--json", *arguments)
            return [json.loads(line)["text"] for line in done.out.splitlines()], done.err

        message = "read as text, not as a file name; to read the contents, pass"
        assert outcome("a_") == (["a_"], f"charlm: 'a_': {message} --file a_\n")
        texts, err = outcome("a_", "the_", "b c_", "d_", "e_")
        assert texts == ["a_", "the_", "b c_", "d_", "e_"]
        assert err == (f"charlm: 'a_' and 3 more: {message} --file a_ 'b c_' d_ ...\n")
        if command == "score":
            assert outcome("x", "folder", "--file", "a_") == (["x", "folder", "the fox"], "")

    def test_a_last_line_and_windows_newlines(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "t").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
        done = charlm("score", "-m", verse_model, "--file", "t", "--lines", "--tsv", cwd=tmp_path)
        assert [line.split("\t")[0] for line in done.out.splitlines()] == ["text", "one", "two"]

    def test_context_conditions_and_does_not_count(self, verse_model: Path) -> None:
        def log_prob(*arguments: str) -> float:
            return float(json.loads(charlm("score", "--json", *arguments, cwd=verse_model.parent).out)["log_prob"])

        both, first = log_prob("the lazy dog"), log_prob("the la")
        assert log_prob("zy dog", "--context", "the la") == pytest.approx(both - first, abs=1e-4)

    def test_the_first_answer_comes_before_the_input_ends(self, verse_model: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "charlm", "score", "-m", verse_model, "--file", "-", "--lines", "--json"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(60, process.kill)
        killer.start()
        process.stdin.write(b"the lazy dog\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "the lazy dog"
        process.stdin.close()
        assert process.wait() == 0
        process.stdout.close()
        killer.cancel()

    def test_nothing_to_score(self, verse_model: Path) -> None:
        done = charlm("score", cwd=verse_model.parent)
        assert (done.code, done.out) == (2, "")
        assert "no text is given" in done.err
        assert charlm("score", "--file", "nowhere", cwd=verse_model.parent).code == 1

    def test_invalid_byte_ends_the_command_with_its_position(self, verse_model: Path) -> None:
        run = ("score", "--file", "-", "--lines", "--tsv")
        done = charlm(*run, cwd=verse_model.parent, stdin=b"the fox\ncaf\xe9\n")
        assert done.code == 1
        assert "byte 11 (0xe9) is not valid utf-8" in done.err

    def test_a_line_of_a_megabyte_is_scored_whole(self, verse_model: Path) -> None:
        text = "the lazy dog " * 80_000
        done = charlm("score", "--file", "-", "--lines", "--json", cwd=verse_model.parent, stdin=text.encode())
        assert json.loads(done.out)["characters"] == len(text)


class TestOutputs:
    def test_tsv_is_at_full_precision(self, verse_model: Path) -> None:
        done = charlm("score", "--tsv", "dog\tfox\\\nx", cwd=verse_model.parent)
        head, row = (line.split("\t") for line in done.out.splitlines())
        score = json.loads(charlm("score", "--json", "dog\tfox\\\nx", cwd=verse_model.parent).out)
        assert row[0] == "dog\\tfox\\\\\\nx"
        assert [float(row[head.index(key)]) for key in ("log_prob", "perplexity")] == [
            score["log_prob"], score["perplexity"],
        ]  # fmt: skip

    def test_figures_without_the_unknown(self, verse_model: Path) -> None:
        row = json.loads(charlm("score", "--json", "dog ß", cwd=verse_model.parent).out)
        assert row["unknown"] == 1
        assert row["log_prob_known"] > row["log_prob"]
        assert row["perplexity_known"] < row["perplexity"]

    def test_summary_adds_up(self, verse_model: Path) -> None:
        texts = ("the lazy dog", "zz ß")
        rows = [json.loads(line) for line in charlm("score", "--json", *texts, cwd=verse_model.parent).out.splitlines()]
        out = charlm("score", "--summary", *texts, cwd=verse_model.parent).out
        figures = dict(line.split(":\t") for line in out.splitlines())
        total = sum(row["log_prob"] for row in rows)
        assert float(figures["Log probability (nats)"]) == pytest.approx(total, abs=1e-5)
        assert float(figures["Perplexity including unknown"]) == pytest.approx(math.exp(-total / 16), rel=1e-5)
        assert float(figures["Perplexity excluding unknown"]) < float(figures["Perplexity including unknown"])
        assert (figures["Unknown"], figures["Characters"], figures["Texts"]) == ("1", "16", "2")

    @pytest.mark.parametrize(
        ("base", "unit", "size"), [("e", "nats", 1), ("2", "bits", math.log(2)), ("10", "bans", math.log(10))]
    )
    def test_bases(self, verse_model: Path, base: str, unit: str, size: float) -> None:
        nats = json.loads(charlm("score", "--json", "the dog", cwd=verse_model.parent).out)["log_prob"]
        table = charlm("score", "--base", base, "the dog", cwd=verse_model.parent).out
        assert f"log p ({unit})" in table
        assert float(table.splitlines()[1].split()[0]) == pytest.approx(nats / size, abs=1e-3)

    def test_columns_line_up_for_wide_characters(self, verse_model: Path) -> None:
        done = charlm("score", "狐狸", "fox", cwd=verse_model.parent)
        assert len({len(line) - len(line.split()[-1]) for line in done.out.splitlines()[1:]}) == 1
        assert "unknown to the model" in done.err

    def test_escapes_do_not_reach_the_table(self, verse_model: Path) -> None:
        done = charlm("score", "\x1b[31mred", cwd=verse_model.parent)
        assert "\x1b" not in done.out
        assert "\\x1b[31mred" in done.out


class TestPerCharacter:
    def test_probabilities_of_characters_multiply_to_that_of_the_text(self, verse_model: Path) -> None:
        out = charlm("score", "--per-char", "--best", 2, "the dog", cwd=verse_model.parent).out
        head, *rows = (line.split("\t") for line in out.splitlines())
        assert [row[1] for row in rows] == list("the dog")
        bits = sum(float(row[head.index("surprisal_bits")]) for row in rows)
        nats = json.loads(charlm("score", "--json", "the dog", cwd=verse_model.parent).out)["log_prob"]
        assert bits * math.log(2) == pytest.approx(-nats, abs=1e-3)
        assert all(row[-1].count(":") == 2 for row in rows)

    def test_colour_into_a_pipe_needs_the_flag(self, verse_model: Path) -> None:
        run = ("score", "--per-char", "the dog")
        assert "\x1b[" not in charlm(*run, cwd=verse_model.parent).out
        coloured = charlm(*run, "--color", cwd=verse_model.parent).out
        assert "\x1b[" in coloured
        assert "surprisal in bits" in coloured

    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
    @pytest.mark.parametrize("no_color", ["", "1"])
    def test_on_a_terminal(self, verse_model: Path, no_color: str) -> None:
        ours, theirs = os.openpty()
        env = os.environ | {"NO_COLOR": no_color}
        command = [sys.executable, "-m", "charlm", "score", "-m", str(verse_model), "--per-char", "fox"]
        subprocess.run(command, stdout=theirs, env=env, check=True, timeout=60)
        os.close(theirs)
        shown = os.read(ours, 10_000)
        os.close(ours)
        assert (b"\x1b[" in shown) == (no_color == "")


class TestRanking:
    def test_groups(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "c.tsv").write_text("1\teht dog\n1\tthe dog\n2\tjumps\nno tab here\n")
        done = charlm("score", "-m", verse_model, "--rank", "--file", "c.tsv", cwd=tmp_path)
        rows = [line.split("\t") for line in done.out.splitlines()[1:]]
        assert [(row[0], row[1], row[4]) for row in rows] == [
            ("1", "1", "the dog"), ("1", "2", "eht dog"), ("2", "1", "jumps"), ("no tab here", "1", "no tab here"),
        ]  # fmt: skip
        assert float(rows[0][2]) + float(rows[1][2]) == pytest.approx(1)
        assert "line 4 has no tab" in done.err


class TestAdapting:
    def test_repetition_is_learned_and_the_file_is_unchanged(self, verse_model: Path) -> None:
        before = verse_model.read_bytes()
        text = "dog fox dog fox " * 40
        run = ("score", "--json", text)
        scores = (json.loads(charlm(*run, *flags, cwd=verse_model.parent).out) for flags in ((), ("--adapt",)))
        fixed, adapted = (score["bits_per_char"] for score in scores)
        assert adapted < fixed
        assert verse_model.read_bytes() == before

    def test_first_chunk_is_scored_before_any_update(self, verse_model: Path) -> None:
        run = ("score", "--json", "the lazy dog")
        scores = [json.loads(charlm(*run, *f, cwd=verse_model.parent).out)["log_prob"] for f in ((), ("--adapt",))]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)

    def test_adapt_with_per_char_is_refused(self, verse_model: Path) -> None:
        assert charlm("score", "--adapt", "--per-char", "x", cwd=verse_model.parent).code == 2


class TestClassify:
    def test_each_text_finds_its_model(self, verse_model: Path, names_model: Path, tmp_path: Path) -> None:
        models = ("-m", verse_model, "-m", names_model)
        texts = ("the lazy dog and runs", "berta")
        rows = [json.loads(x) for x in charlm("classify", *models, *texts, "--json", cwd=tmp_path).out.splitlines()]
        assert [row["best"] for row in rows] == [str(verse_model), str(names_model)]
        assert all(sum(row["posterior"].values()) == pytest.approx(1) for row in rows)
        table = charlm("classify", *models, *texts, cwd=tmp_path).out
        assert len(table.splitlines()) == 3
        tsv = charlm("classify", *models, "--file", "-", "--lines", "--tsv", cwd=tmp_path, stdin=b"anna\n\nfox\n").out
        assert [line.split("\t")[-1] for line in tsv.splitlines()] == ["text", "anna", "", "fox"]

    def test_priors_scale_the_posterior(self, verse_model: Path, names_model: Path, tmp_path: Path) -> None:
        run = ("classify", "-m", verse_model, "-m", names_model, "--json", "an")
        plain, weighed = (
            next(iter(json.loads(charlm(*run, *flags, cwd=tmp_path).out)["posterior"].values()))
            for flags in ((), ("--prior", 3, "--prior", 1))
        )
        assert weighed / (1 - weighed) == pytest.approx(3 * plain / (1 - plain), rel=1e-6)
        assert charlm(*run, "--prior", 1, cwd=tmp_path).code == 2
        assert charlm("classify", "-m", verse_model, cwd=tmp_path).code == 2


class TestOdd:
    def test_the_odd_line_is_first(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("the lazy dog\njumps over\n\nqzxv kkw\nand runs away\n")
        for flags in ((), ("--context",)):
            rows = charlm("odd", "log", "-m", verse_model, "-n", 2, *flags, cwd=tmp_path).out.splitlines()
            assert len(rows) == 3
            assert rows[1].split()[1:] == ["4", "qzxv", "kkw"]

    def test_spots_name_line_and_column(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "t").write_text("the quick brown fox\njumps over thQ lazy dog\n")
        rows = charlm("odd", "t", "-m", verse_model, "-n", 1, "--spots", cwd=tmp_path).out.splitlines()
        assert rows[1].split()[1:4] == ["2", "14", "'Q'"]
        assert "th[Q] lazy" in rows[1]


class TestThreads:
    @pytest.mark.parametrize(
        "command",
        [
            ("score", "--file", "lines.txt", "--lines", "--json"),
            ("score", "--file", "groups.tsv", "--rank"),
            ("odd", "--file", "lines.txt"),
            ("classify", "-m", "other.safetensors", "--file", "lines.txt", "--lines", "--json"),
            ("sample", "-n", "5", "--seed", "1", "--length", "20"),
        ],
    )
    def test_any_number_of_cores_gives_the_same_numbers(
        self, verse_model: Path, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        (tmp_path / "lines.txt").write_text(LINES)
        (tmp_path / "groups.tsv").write_text("a\tthe fox\na\tthe dog\n")
        shutil.copy(verse_model, tmp_path / "other.safetensors")
        runs = [charlm(*command, "-m", verse_model, *flags, cwd=tmp_path) for flags in ((), ("--threads", 1))]
        assert [run.code for run in runs] == [0, 0], runs
        assert runs[0].out == runs[1].out

    @pytest.mark.parametrize(
        "command", [("score", "x"), ("sample",), ("odd", "--file", "lines.txt"), ("classify", "x")]
    )
    def test_a_negative_number_of_cores_is_refused(
        self, verse_model: Path, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        (tmp_path / "lines.txt").write_text(LINES)
        done = charlm(*command, "-m", verse_model, "--threads", -1, cwd=tmp_path)
        assert done.code == 2
        assert done.err == "charlm: --threads is -1; expected 0 (all cores) or more\n"

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("score_many", ("score", "fox")),
            ("score_many", ("score", "--rank", "--file", "groups.tsv")),
            ("score_many", ("odd", "--file", "lines.txt")),
            ("sample_each", ("sample", "-n", "2")),
            ("sample_each", ("sample", "--novel", "--corpus", "lines.txt")),
        ],
    )
    def test_the_number_of_cores_reaches_the_model(
        self,
        verse_model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        arguments: tuple[str, ...],
    ) -> None:
        (tmp_path / "lines.txt").write_text(LINES)
        (tmp_path / "groups.tsv").write_text("a\tthe fox\na\tthe dog\n")
        monkeypatch.chdir(tmp_path)
        given = []
        original = getattr(LanguageModel, method)

        def spy(*args: Any, threads: int | None = None, **settings: Any) -> Any:
            given.append(threads)
            return original(*args, threads=threads, **settings)

        monkeypatch.setattr(LanguageModel, method, spy)
        CliRunner().invoke(group, [*arguments, "-m", str(verse_model), "--threads", "3"])
        assert given == [3]

    @pytest.mark.parametrize(("threads", "usable", "left"), [(1, 8, 1), (2, 8, 2), (0, 2, 2), (None, 2, 2), (9, 1, 3)])
    def test_products_use_no_more_cores_than_that(
        self, verse_model: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None, usable: int, left: int
    ) -> None:
        monkeypatch.setattr("charlm.kernels.threads.usable_cores", lambda: usable)
        before = [(library, library.num_threads) for library in blas_libraries()]
        try:
            for library, _ in before:
                set_threads(library, 3)
            open_model(verse_model, threads)
            assert {library.num_threads for library, _ in before} == {left}
        finally:
            for library, count in before:
                set_threads(library, count)


def test_per_word_prints_each_word_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The log-probabilities of the words sum to that of the text, with any context and end."""
    path = tmp_path / "m.safetensors"
    model = make_model(path)
    run, text = Terminal(capsys), "ab  cd\na b"
    flags = ["-m", path, "--context", "d", "--eos"]
    found = [json.loads(line) for line in run("score", "--per-word", "--json", *flags, text).out.splitlines()]
    places = [(one["word"], one["index"], one["line"], one["column"]) for one in found]
    assert places == [("ab", 0, 1, 1), ("  cd", 2, 1, 3), ("\na", 6, 1, 7), (" b", 8, 2, 2), ("<EOS>", 10, 2, 4)]
    whole = model.score(text, end=True, context="d").log_prob
    assert sum(one["log_prob"] for one in found) == pytest.approx(whole)
    assert found[1]["surprisal_bits"] == pytest.approx(-math.log2(found[1]["probability"]))
    head, *rows = run("score", "--per-word", *flags, "--base", "2", text).out.splitlines()
    assert head.split() == ["log", "p", "(bits)", "p", "word"]
    assert float(rows[1].split()[0]) == pytest.approx(-found[1]["surprisal_bits"], abs=1e-3)
    adapted = run("score", "--per-word", "--adapt", "--json", "-m", path, text).out.splitlines()
    assert [json.loads(line)["word"] for line in adapted] == ["ab", "  cd", "\na", " b"]
