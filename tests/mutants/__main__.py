"""Apply each deliberate fault to a copy of the repository, run the tests that must notice it, and report.

    python -m tests.mutants [WORD ...] [--jobs N] [--timeout SECONDS]

A WORD keeps the faults whose file, list or description contains it.
Exit code 1: a fault was not noticed, or its text no longer occurs in the file.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import tests.mutants
from tests.mutants.fault import Fault

ROOT = Path(__file__).parents[2]
FOLDERS = ("charlm", "tests", "corpora", "benchmarks", "docs", "setup.cfg", "pyproject.toml", "README.md", "Makefile")
NOTICED, SURVIVED, STALE, SKIPPED = "noticed", "SURVIVED", "STALE", "skipped"


def catalogue() -> dict[str, tuple[Fault, ...]]:
    """Return the lists of faults by the name of their module."""
    names = [module.name for module in pkgutil.iter_modules(tests.mutants.__path__) if module.name[:1] != "_"]
    lists = {name: getattr(importlib.import_module(f"tests.mutants.{name}"), "FAULTS", ()) for name in names}
    return {name: faults for name, faults in lists.items() if faults}


def apply(fault: Fault, folder: Path) -> dict[Path, str]:
    """Make the fault in a copy. Return the original texts, or nothing if it no longer applies."""
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


def try_one(fault: Fault, folder: Path, timeout: float) -> str:
    """Return what became of one fault."""
    if fault.needs_torch and importlib.util.find_spec("torch") is None:
        return SKIPPED
    originals = apply(fault, folder)
    if not originals:
        return STALE
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *fault.tests]
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=timeout, check=False)
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = 1  # A fault that makes the program hang is noticed by the suite's time limit.
    finally:
        for path, text in originals.items():
            path.write_text(text, encoding="utf-8")
    return {0: SURVIVED, 1: NOTICED}.get(code, STALE)


def main() -> int:
    """Try the chosen faults and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Try deliberate faults.")
    parser.add_argument("words", nargs="*", help="keep the faults that contain one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults tried at once")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for the tests of one fault")
    options = parser.parse_args()

    chosen = [
        (name, fault)
        for name, faults in catalogue().items()
        for fault in faults
        if not options.words or any(word in f"{name} {fault.file} {fault.what}" for word in options.words)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        free: SimpleQueue[Path] = SimpleQueue()
        for job in range(options.jobs):
            folder = Path(temporary) / str(job)
            for name in FOLDERS:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, folder / name)
            free.put(folder)

        def run(entry: tuple[str, Fault]) -> str:
            folder = free.get()
            try:
                result = try_one(entry[1], folder, options.timeout)
            finally:
                free.put(folder)
            print(f"{result:9}{entry[0]:12}{entry[1].file}: {entry[1].what}", flush=True)
            return result

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(run, chosen))

    tried = len(results) - results.count(SKIPPED)
    noticed = results.count(NOTICED)
    print(f"{noticed} of {tried} faults noticed, {results.count(STALE)} stale, {results.count(SKIPPED)} skipped")
    return 0 if noticed == tried else 1


if __name__ == "__main__":
    sys.exit(main())
