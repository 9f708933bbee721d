"""Benchmarks check their arguments before they measure."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import benchmarks.__main__ as program

TOP = Path(__file__).parents[1]


@pytest.mark.parametrize("name", program.MODULES)
def test_benchmark_with_missing_text_names_the_text(name: str) -> None:
    main = program.main.get_command(click.Context(program.main), name)
    assert main is not None
    for parameter in main.params:
        if parameter.name in ("text", "texts"):
            with pytest.raises(click.BadParameter, match="nowhere"):
                parameter.type_cast_value(click.Context(main), ("nowhere",) if parameter.nargs < 0 else "nowhere")


def test_help_and_unknown_name_run_no_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(program.subprocess, "run", lambda command, check: commands.append(command))
    for arguments, code in ((["--help"], 0), (["nothing"], 2), (["speed", "--help"], 0)):
        with pytest.raises(SystemExit) as exit_info:
            program.main(arguments)
        assert exit_info.value.code == code
    assert commands == []


def test_help_describes_each_benchmark_in_a_whole_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in (*program.MODULES, "speed"):
        command = program.main.get_command(click.Context(program.main), name)
        assert command is not None
        sentence = " ".join((command.help or "").partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        assert f" {name} {sentence}" in shown


def test_speed_runs_each_speed_benchmark_once(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(program.subprocess, "run", lambda command, check: commands.append(command))
    program.main(["speed"], standalone_mode=False)
    assert [command[1:] for command in commands] == [["-m", "benchmarks", name] for name in program.SPEED]


@pytest.mark.parametrize("name", program.SPEED)
def test_speed_benchmark_is_also_a_module(name: str) -> None:
    assert import_module(f"benchmarks.{name}").main is import_module(program.MODULES[name]).main


@pytest.mark.parametrize("module", [["benchmarks", "cells"], ["benchmarks.training"]], ids=" ".join)
def test_missing_text_on_the_command_line_shows_no_traceback(module: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *module, "--text", "nowhere.txt"],
        cwd=TOP, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nowhere.txt" in done.stderr
    assert "Traceback" not in done.stderr
