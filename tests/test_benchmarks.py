"""Benchmarks check their arguments before they measure anything."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import benchmarks
import benchmarks.__main__ as every

NAMES = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_is_not_there_is_refused_by_name(name: str) -> None:
    main = getattr(import_module(f"benchmarks.{name}"), "main", None)
    if not isinstance(main, click.Command):
        return
    for parameter in main.params:
        if parameter.name in ("text", "texts"):
            with pytest.raises(click.BadParameter, match="nowhere"):
                parameter.type_cast_value(click.Context(main), ("nowhere",) if parameter.nargs < 0 else "nowhere")


def test_help_runs_no_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[list[str]] = []
    monkeypatch.setattr(every.subprocess, "run", lambda command, check: run.append(command))
    for arguments, code in ((["--help"], 0), (["nothing"], 2)):
        with pytest.raises(SystemExit) as ended:
            every.main(arguments)
        assert ended.value.code == code
    assert run == []
    every.main([], standalone_mode=False)
    assert [command[-1] for command in run] == [f"benchmarks.{name}" for name in every.BENCHMARKS]
    run.clear()
    every.main(["sampling"], standalone_mode=False)
    assert [command[-1] for command in run] == ["benchmarks.sampling"]


def test_a_benchmark_of_a_text_that_is_not_there_shows_no_traceback() -> None:
    """As a user runs it, from the top of a clone."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cells", "--text", "nowhere.txt"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nowhere.txt" in done.stderr
    assert "Traceback" not in done.stderr
