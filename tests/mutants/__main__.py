"""Apply each deliberate fault to a copy of the repository, run the tests that must fail, and report.

    python -m tests.mutants [WORD ...] [--jobs N] [--timeout SECONDS]

A WORD keeps the faults whose file, list or description contains it. The tests first run on the unmodified code.
Exit code 1: a test failed there, a test passed in spite of its fault, or the text of a fault no longer occurs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import tests.mutants
from charlm.machine import usable_cores
from tests.mutants.fault import Fault

ROOT = Path(__file__).parents[2]
COPIED = (
    *("charlm", "tests", "corpora", "benchmarks", "docs", "fuzz"),
    *("setup.cfg", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"),
)
NOTICED, SURVIVED, STALE, SKIPPED = "noticed", "SURVIVED", "STALE", "skipped"
HAS_TORCH = importlib.util.find_spec("torch") is not None


def catalogue() -> dict[str, tuple[Fault, ...]]:
    """Return the lists of faults by the name of their module."""
    names = [module.name for module in pkgutil.iter_modules(tests.mutants.__path__) if module.name[:1] != "_"]
    lists = {name: getattr(importlib.import_module(f"tests.mutants.{name}"), "FAULTS", ()) for name in names}
    return {name: faults for name, faults in lists.items() if faults}


def copy_repository(folder: Path) -> None:
    """Copy the files that the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def run_tests(
    names: Iterable[str], folder: Path, flags: tuple[str, ...] = (), timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tests on the copy in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, *names],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def baseline_failures(faults: Iterable[Fault], folder: Path) -> str:
    """Run the tests of the faults on the unmodified code; return the summary of failures, "" if all pass."""
    names = {
        name: None  # a dict keeps the order; `-k WORD` is left out, since pytest takes only one
        for fault in faults
        for name in fault.tests
        if ".py" in name and (HAS_TORCH or not fault.needs_torch)
    }
    if not names:
        return ""
    done = run_tests(names, folder, ("--tb=no", "-rfE"))
    summary = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "" if done.returncode == 0 else "\n".join(summary) or done.stdout + done.stderr


def apply(fault: Fault, folder: Path) -> dict[Path, str]:
    """Apply a fault to a copy. Return the original texts, or nothing if it no longer applies."""
    originals: dict[Path, str] = {}
    changed: dict[Path, str] = {}
    for name, before, after in fault.replacements():
        path = folder / name
        if not path.is_file():
            return {}
        originals.setdefault(path, path.read_text(encoding="utf-8"))
        text = changed.get(path, originals[path])
        if text.count(before) != 1:
            return {}
        changed[path] = text.replace(before, after)
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")
    return originals


def try_fault(fault: Fault, folder: Path, timeout: float) -> str:
    """Run the tests of a fault with the fault applied; return the outcome."""
    if fault.needs_torch and not HAS_TORCH:
        return SKIPPED
    originals = apply(fault, folder)
    if not originals:
        return STALE
    try:
        code = run_tests(fault.tests, folder, ("-x",), timeout).returncode
    except subprocess.TimeoutExpired:
        code = 1  # the time limit of the suite notices a program that hangs
    finally:
        for path, text in originals.items():
            path.write_text(text, encoding="utf-8")
    return {0: SURVIVED, 1: NOTICED}.get(code, STALE)


def main() -> int:
    """Try the chosen faults and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Try deliberate faults.")
    parser.add_argument("words", nargs="*", help="keep the faults that contain one of these words")
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="faults tried at once")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the tests of one fault")
    options = parser.parse_args()

    chosen = [
        (name, fault)
        for name, faults in catalogue().items()
        for fault in faults
        if not options.words or any(word in f"{name} {fault.file} {fault.what}" for word in options.words)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folders: SimpleQueue[Path] = SimpleQueue()
        for job in range(options.jobs):
            folder = Path(temporary) / str(job)
            copy_repository(folder)
            folders.put(folder)

        failures = baseline_failures((fault for _, fault in chosen), Path(temporary) / "0")
        if failures:
            print(failures)
            print("These tests fail on the unmodified code, so no fault was tried.")
            return 1

        def run(entry: tuple[str, Fault]) -> str:
            folder = folders.get()
            try:
                result = try_fault(entry[1], folder, options.timeout)
            finally:
                folders.put(folder)
            print(f"{result:9}{entry[0]:12}{entry[1].file}: {entry[1].what}", flush=True)
            return result

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(run, chosen))

    n_tried = len(results) - results.count(SKIPPED)
    n_noticed = results.count(NOTICED)
    print(f"{n_noticed} of {n_tried} faults noticed, {results.count(STALE)} stale, {results.count(SKIPPED)} skipped")
    return 0 if n_noticed == n_tried else 1


if __name__ == "__main__":
    sys.exit(main())
