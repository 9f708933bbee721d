"""Scripts and CI: exit codes, defaults from the environment, colours, and completion by the shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.cli import exit_codes
from tests.cli.command import charlm
from tests.cli.screen import Screen
from tests.cli.tiny import make_model

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a bidirectional one, one of lines, and a text."""
    path = tmp_path_factory.mktemp("scripts")
    make_model(path / "charlm.safetensors")
    make_model(path / "both.safetensors", bidirectional=True)
    make_model(path / "lines.safetensors", lines=True)
    (path / "t").write_text("abcd\ndddd\n")
    return path


class TestExitCodes:
    def test_are_documented(self) -> None:
        page = (TOP / "docs/reference/command-line.md").read_text(encoding="utf-8")
        documented = {
            int(code) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for code in row.split(",")
        }
        codes = {value for value in vars(exit_codes).values() if isinstance(value, int)}
        assert len(codes) == 6
        assert documented == codes | {129, 143}

    @pytest.mark.parametrize("view", [(), ("--spots",), ("--context",), ("--json",)], ids=str)
    def test_odd_fails_over_a_limit(self, folder: Path, view: tuple[str, ...]) -> None:
        run = ("odd", "--file", "t", "-n", 1, *view)
        plain = charlm(*run, cwd=folder)
        number = re.search(r"\d+\.\d+", plain.out.partition("bits_per_char")[2] or plain.out)
        assert number is not None
        highest = float(number[0])
        below, above = (charlm(*run, "--fail-over", highest + step, cwd=folder) for step in (-0.01, 0.01))
        assert (plain.code, below.code, above.code) == (0, exit_codes.FOUND, 0)
        assert plain.out == below.out == above.out
        assert below.err.startswith(f"charlm: the highest surprisal is {highest:.2f}"[:-1])
        assert (plain.err, above.err) == ("", "")

    def test_odd_of_an_empty_text_finds_nothing(self, folder: Path) -> None:
        (folder / "empty").write_text("\n")
        for view in ((), ("--spots", "-m", "lines.safetensors")):
            assert charlm("odd", "--file", "empty", "--fail-over", 0, *view, cwd=folder).code == 0

    @pytest.mark.parametrize("form", [(), ("--json",), ("--tsv",)], ids=str)
    def test_proof_fails_if_it_marks_something(self, folder: Path, form: tuple[str, ...]) -> None:
        run = ("proof", "-m", "both.safetensors", "--file", "t", *form)
        marked, clean = (("--least", nats) for nats in (0.01, 99))
        assert charlm(*run, *marked, "--fail", cwd=folder).code == exit_codes.FOUND
        assert charlm(*run, *marked, "--fail", cwd=folder).out == charlm(*run, *marked, cwd=folder).out
        assert charlm(*run, *marked, cwd=folder).code == 0
        assert charlm(*run, *clean, "--fail", cwd=folder).code == 0

    def test_failure_is_not_a_finding(self, folder: Path) -> None:
        for name in ("odd --fail-over 0", "proof --fail"):
            assert charlm(*name.split(), "--file", "none", cwd=folder).code == exit_codes.FAILED


class TestEnvironment:
    def test_variable_sets_the_default_of_an_option(self, folder: Path) -> None:
        given = charlm("sample", "--seed", 1, "--length", 5, "-n", 2, "--json", cwd=folder)
        variables = {"SEED": "1", "LENGTH": "5", "N": "2", "JSON": "1"}
        from_environment = charlm("sample", cwd=folder, **{f"CHARLM_SAMPLE_{k}": v for k, v in variables.items()})
        assert from_environment == given

    def test_command_line_overrides_a_variable(self, folder: Path) -> None:
        given = charlm("odd", "--file", "t", "-n", 1, "--tsv", cwd=folder)
        assert (
            charlm("odd", "--file", "t", "-n", 1, "--tsv", cwd=folder, CHARLM_ODD_N="2", CHARLM_ODD_JSON="1") == given
        )

    def test_two_variables_that_exclude_each_other_are_refused(self, folder: Path) -> None:
        done = charlm("odd", "--file", "t", cwd=folder, CHARLM_ODD_TSV="1", CHARLM_ODD_JSON="1")
        assert done.code == 2
        assert "exclude each other" in done.err

    def test_model_of_a_command_overrides_that_of_all(self, folder: Path) -> None:
        variables = {"CHARLM_MODEL": "none", "CHARLM_INFO_MODEL": "lines.safetensors"}
        assert "lines.safetensors" in charlm("info", cwd=folder, **variables).out
        assert charlm("odd", "--file", "t", cwd=folder, **variables).code == 1

    def test_name_of_a_variable_is_the_flag(self, folder: Path) -> None:
        texts = charlm("score", "--lines", "--file", "t", "--json", cwd=folder)
        assert charlm("score", "--file", "t", "--json", cwd=folder, CHARLM_SCORE_LINES="1") == texts
        assert texts.out.count("\n") == 2
        assert charlm("sample", cwd=folder, CHARLM_SAMPLE_TEMP="-1").code == 2

    def test_wrong_value_names_the_variable(self, folder: Path) -> None:
        done = charlm("sample", cwd=folder, CHARLM_SAMPLE_LENGTH="long")
        assert done.code == 2
        assert "'long' is not a valid integer (from the environment variable CHARLM_SAMPLE_LENGTH)" in done.err
        assert "CHARLM_" not in charlm("sample", "--length", "long", cwd=folder).err


class TestColours:
    @pytest.mark.parametrize(
        ("variables", "is_coloured"),
        [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
         ({"FORCE_COLOR": "", "NO_COLOR": ""}, False)],
        ids=str,
    )  # fmt: skip
    def test_of_a_pipe(self, folder: Path, variables: dict[str, str], is_coloured: bool) -> None:
        plain = {"NO_COLOR": "", "FORCE_COLOR": ""} | variables
        assert ("\x1b[" in charlm("score", "--per-char", "abc", cwd=folder, **plain).out) is is_coloured
        assert "\x1b[" not in charlm("score", "--per-char", "--no-color", "abc", cwd=folder, **plain).out
        assert "\x1b[" not in charlm("score", "--per-char", "--json", "abc", cwd=folder, **plain).out


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of model files, a state, a text and a folder."""
    for name in ("a.safetensors", "ab.safetensors", "a.resume.safetensors", "a.txt", "more/c.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def documented(shell: str) -> str:
    """Return the line that sets completion up in a shell."""
    page = (TOP / "docs/how-to/completion.md").read_text(encoding="utf-8")
    line = re.search(rf"^(?: {{4}})?(.*_CHARLM_COMPLETE={shell}_source.*)$", page, re.MULTILINE)
    assert line is not None
    return line[1]


def with_program(folder: Path) -> dict[str, str]:
    """Write a program `charlm` into a folder; return an environment in which shells find it."""
    program = folder / "bin/charlm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charlm "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(TOP)}


COMPLETIONS = [
    ("sc", ["score"]),
    ("help gr", ["gradients"]),
    ("train --cell gru", ["gru", "gru-simple", "gru-before"]),
    ("odd --fail", ["--fail-over"]),
    ("sample -m ", ["a.safetensors", "ab.safetensors"]),
    ("info --model more/", ["more/c.safetensors"]),
    ("classify -m ab", ["ab.safetensors"]),
    ("train --init-from ab", ["ab.safetensors"]),
    ("info -m nowhere/", []),
]


class TestCompletion:
    @pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
    def test_zsh_and_fish(self, models: Path, line: str, expected: list[str]) -> None:
        *before, last = f"charlm {line}".split(" ")
        zsh = {"_CHARLM_COMPLETE": "zsh_complete", "COMP_WORDS": f"charlm {line}", "COMP_CWORD": str(len(before))}
        shown = charlm(cwd=models, **zsh).out.splitlines()  # three lines for each item: its kind, its value, its help
        assert [value for kind, value in zip(shown[::3], shown[1::3], strict=True) if kind == "plain"] == expected
        fish = {"_CHARLM_COMPLETE": "fish_complete", "COMP_WORDS": " ".join(before), "COMP_CWORD": last}
        shown = charlm(cwd=models, **fish).out.splitlines()
        assert [re.split("[,\t]", item)[1] for item in shown if item.startswith("plain,")] == expected

    @pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
    @pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
    def test_bash_with_the_documented_line(self, models: Path, line: str, expected: list[str]) -> None:
        # compopt needs a completion in progress
        script = f"""{documented("bash")}
        compopt() {{ :; }}
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _charlm_completion charlm
        printf '%s\\n' "${{COMPREPLY[@]}}" """
        run = ["bash", "-c", script, "bash", *f"charlm {line}".split(" ")]
        done = subprocess.run(
            run, cwd=models, env=with_program(models), capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.split() == expected

    @pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
    @pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
    def test_fish_with_the_documented_line(self, models: Path, line: str, expected: list[str]) -> None:
        run = ["fish", "--no-config", "-c", f"{documented('fish')}; complete -C 'charlm {line}'"]
        done = subprocess.run(
            run, cwd=models, env=with_program(models), capture_output=True, text=True, timeout=60, check=True
        )
        found = [item.partition("\t")[0] for item in done.stdout.splitlines()]
        assert [item for item in found if not item.endswith("/")] == sorted(expected)

    @pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
    def test_zsh_with_the_documented_line(self, models: Path) -> None:
        lines = {
            "sco": "score",
            "train --cell gru-s": "train --cell gru-simple",
            "info -m ab": "info -m ab.safetensors",
        }
        with Screen("-f", "-i", program=["zsh"], env=with_program(models), cwd=models) as screen:
            screen.type(f"PS1='> '; autoload -U compinit; compinit -u -D; {documented('zsh')}; print rea''dy\n")
            screen.read_until("ready")
            for line, completed in lines.items():
                # Ctrl-A goes to the start of the line that Tab completes
                screen.type(f"charlm {line}\t\x01print -r -- '<'\x05'>'\n")
                screen.read_until(f"<charlm {completed}>")
