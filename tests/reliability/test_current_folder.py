"""Python files next to a text are never imported: not by a command, and not by its workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import charlm
from tests.reliability.running import FLAGS, write_text

NAMES = ["json.py", "token.py", "numpy.py", "click.py", "threadpoolctl.py", "bz2.py", "mmap.py", "select.py"]
PACKAGE = "charlm/__init__.py"
TRAP = "import os\nos.mkdir('executed ' + __name__)\nraise ImportError('a file of the current folder')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text and Python files with the names of modules."""
    folder = tmp_path / "texts"
    (folder / "charlm").mkdir(parents=True)
    write_text(folder)
    for name in NAMES:
        (folder / name).write_text(TRAP)
    return folder


def train(folder: Path, *command: str, setting: str = "threads", **environment: str) -> list[str]:
    """Train in a folder; returns what its Python files did there."""
    # Coverage measures the processes it finds variables for, and imports modules before charlm can clean the path.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "COV"))}
    env |= environment
    done = subprocess.run(
        [sys.executable, *command, "train", "text.txt", *FLAGS, "--steps", "3", f"--{setting}", "2"],
        cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    executed = sorted(path.name for path in folder.glob("executed*"))
    assert done.returncode == 0, (done.stderr, executed)
    assert charlm.load(folder / "charlm.safetensors").training.steps <= 3
    return executed


def installed(folder: Path) -> str:
    """Return a script like the installed command, in another folder."""
    script = folder.parent / "bin" / "charlm"
    script.parent.mkdir()
    script.write_text("from charlm.cli import main\nmain()\n")
    return str(script)


@pytest.mark.parametrize("setting", ["threads", "ensemble"])
def test_the_command_and_its_workers_import_nothing_from_the_current_folder(folder: Path, setting: str) -> None:
    (folder / PACKAGE).write_text(TRAP)  # such as an old clone of charlm
    assert train(folder, installed(folder), setting=setting) == []


@pytest.mark.parametrize("path", ["", os.pathsep, "library" + os.pathsep, os.pathsep + "library", "library"])
def test_empty_entries_of_pythonpath_are_not_the_current_folder(folder: Path, path: str) -> None:
    assert train(folder, installed(folder), PYTHONPATH=path) == []


def test_python_m_charlm_imports_nothing_from_the_current_folder(folder: Path) -> None:
    assert train(folder, "-m", "charlm") == []


def test_a_folder_that_pythonpath_names_is_used(folder: Path) -> None:
    """Even the current one: its user wants it."""
    for name in NAMES:
        (folder / name).unlink()
    (folder / "json.py").write_text(
        "import importlib.util, os, sys\n"
        "open('executed json ' + os.path.basename(sys.argv[0]), 'w').close()\n"
        "path = os.path.join(os.path.dirname(os.__file__), 'json', '__init__.py')\n"
        "folder = [os.path.dirname(path)]\n"
        "spec = importlib.util.spec_from_file_location('json', path, submodule_search_locations=folder)\n"
        "sys.modules['json'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(sys.modules['json'])\n"
    )
    executed = train(folder, installed(folder), PYTHONPATH=f"{folder}{os.pathsep}")
    assert executed == ["executed json charlm", "executed json worker_script.py"]


def test_workers_run_the_charlm_that_started_them(tmp_path: Path) -> None:
    """A clone that is not the installed package, run from its folder."""
    shutil.copytree(Path(charlm.__file__).parent, tmp_path / "charlm", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "charlm" / "engines" / "worker.py").open("a") as worker:
        worker.write("\nif __import__('sys').argv[0].endswith('worker_script.py'):\n")
        worker.write("    os.makedirs('executed worker', exist_ok=True)\n")
    write_text(tmp_path)
    assert train(tmp_path, "-m", "charlm") == ["executed worker"]
