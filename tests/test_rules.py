"""Rules of the code: sizes of files and functions, numbers of parameters, and tunings that tests pass, not patch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 300, 60, 7
CONSTANT = re.compile(r"(.*\.)?[A-Z][A-Z0-9_]*")
TODO: set[str] = set()
"""Known violations. This set only shrinks."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the source of each Python file below a folder."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def functions(source: str) -> list[Function]:
    """Return all functions and methods of a file."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters without `self` and `cls`."""
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    return [arg.arg for k, arg in enumerate(every) if k or arg.arg not in ("self", "cls")]


def patched_constants(source: str) -> list[str]:
    """Return the constants that a test sets by `setattr` of pytest's monkeypatch or `object` of `mock.patch`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    patches = [
        call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in ("setattr", "object")
    ]
    names = [arg.value for call in patches for arg in call.args[:2] if isinstance(arg, ast.Constant)]
    return [name.rpartition(".")[2] for name in names if isinstance(name, str) and CONSTANT.fullmatch(name)]


def test_files_have_at_most_300_lines() -> None:
    long = {name for name, source in files("charlm") if len(source.splitlines()) > MAX_FILE_LINES}
    assert long - TODO == set()


def test_functions_have_at_most_60_lines() -> None:
    lengths = {
        f"{name}: {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for name, source in files("charlm")
        for function in functions(source)
    }
    assert {name for name, length in lengths.items() if length > MAX_FUNCTION_LINES} - TODO == set()


def test_functions_below_the_command_line_have_at_most_7_parameters() -> None:
    counts = {
        f"{name}: {function.name}": len(parameters(function))
        for name, source in files("charlm")
        for function in functions(source)
        if not name.startswith("charlm/cli/")
    }
    assert {name for name, count in counts.items() if count > MAX_PARAMETERS} - TODO == set()


def test_tests_patch_no_constants() -> None:
    """They pass another instance of a tuning instead."""
    patched = {f"{name}: {constant}" for name, source in files("tests") for constant in patched_constants(source)}
    assert patched - TODO == set()


def test_patched_constants_are_found() -> None:
    source = 'patch.setattr("charlm.a.LIMIT", 1); patch.object(module, "MAX_SIZE", 2); patch.setattr(os, "fork", 3)'
    assert patched_constants(source) == ["LIMIT", "MAX_SIZE"]


def test_parameters_are_counted_without_self() -> None:
    (function,) = functions("class A:\n def f(self, a, /, b, *c, d=1, **e): pass")
    assert parameters(function) == ["a", "b", "d", "c", "e"]
