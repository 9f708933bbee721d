"""Run the code blocks of a page: `console` and `bash` in one shell, then all of `python` in one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(console|bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"STEPS": "30", "HIDDEN": "16", "BATCH": "8", "BPTT": "32", "ENSEMBLE": "1", "THREADS": "1"}
"""Defaults of `charlm train` here, so that a page takes seconds. Options on the page override them."""
MAX_STEPS = 40
"""Limit of --steps here."""
SMALL_TRAIN = """\
import charlm
train = charlm.train
SMALL = {"hidden": 20, "batch": 8, "bptt": 32, "ensemble": 1, "threads": 1, "overwrite": True, "steps": 30}
charlm.train = lambda *paths, **settings: train(*paths, **({} if "resume" in settings else SMALL) | settings)
"""
PREPARATION = {
    "constraints": "cp corpora/lighthouse.txt tinyshakespeare.txt",
    "writers": "cp corpora/lighthouse.txt tinyshakespeare.txt",
    "course": """cp corpora/lighthouse.txt tinyshakespeare.txt; mkdir cells
        for cell in rnn lstm; do charlm train tinyshakespeare.txt --cell $cell -m cells/$cell.safetensors; done""",
    "infilling": "cp corpora/lighthouse.txt corpus.txt; head -n 2 corpus.txt > letter.txt",
    "sampling": """charlm train corpora/dinosaurs.txt --lines -m names.safetensors
        charlm train corpora/lighthouse.txt
        for name in verse laws; do cp charlm.safetensors $name.safetensors; done
        head -n 2 corpora/lighthouse.txt | tee openings.txt > story.txt""",
    "scoring": """head -n 5 corpora/dinosaurs.txt > names.txt; cp names.txt a.txt; cp names.txt b.txt
        charlm train corpora/lighthouse.txt
        for name in english german; do cp charlm.safetensors $name.safetensors; done""",
    "scripts": """for i in $(seq 200); do echo "worker $((i % 4)) done"; done > good.log
        cp good.log new.log; head -n 5 good.log > book.txt
        charlm train good.log; charlm train good.log --bidirectional -m both.safetensors""",
    "text": """for name in a b c new; do cp corpora/lighthouse.txt $name.txt; done; gzip b.txt
        python -c "import lzma; lzma.open('c.txt.xz', 'w').write(open('c.txt', 'rb').read())"
        charlm train corpora/lighthouse.txt -m old.safetensors""",
}
"""Commands that make the files which a page takes for granted."""
VARIES = re.compile(r"charlm (sample|next|write|copies|odd|fill|proof)\b|--per-char|--rank")
"""Commands whose output is text that depends on the weights: only its number of lines is compared."""
OF_TRAINING = re.compile(r"charlm: (# characters|wrote|next)")
"""Lines of `charlm train` that depend on the text alone."""


class Step(NamedTuple):
    """A command of a page and the lines that the page shows as its output."""

    command: str
    shown: list[str]


class Result(NamedTuple):
    """Exit code and output of a command, standard error included."""

    code: int
    lines: list[str]


def steps(page: str) -> list[Step]:
    """Return the commands of all `console` and `bash` blocks; a `bash` block is one command."""
    found: list[Step] = []
    for kind, content in BLOCK.findall(page):
        if kind == "bash":
            found.append(Step(content.rstrip("\n"), []))
        if kind != "console":
            continue
        is_continued = False
        for line in content.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif is_continued:
                found[-1] = Step(f"{found[-1].command}\n{line}", [])
            else:
                found[-1].shown.append(line)
            is_continued = line.endswith("\\")
    return found


def python(page: str) -> str:
    """Return the code of all `python` blocks."""
    return "\n".join(content for kind, content in BLOCK.findall(page) if kind == "python")


def prepare(folder: Path) -> dict[str, str]:
    """Link the files of a clone into a folder; return the environment in which its commands run."""
    for name in ("corpora", "charlm", "docs"):
        (folder / name).symlink_to(TOP / name)
    programs = folder / ".bin"
    programs.mkdir()
    for name, run in (("charlm", "-m charlm"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {run} "$@"\n')
        (programs / name).chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHARLM_")}
    defaults = {f"CHARLM_TRAIN_{name}": value for name, value in SMALL.items()}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return inherited | defaults | {"PATH": path, "PYTHONPATH": str(TOP), "COLUMNS": "100", "LC_ALL": "C.UTF-8"}


def run(page: list[Step], folder: Path, environment: dict[str, str]) -> list[Result]:
    """Run the commands of a page in one shell."""
    lines = []
    for number, step in enumerate(page):
        command = re.sub(r"(?<=--steps )\d+", lambda number: str(min(int(number[0]), MAX_STEPS)), step.command)
        # the next command may print the exit code, `echo $?`
        lines += [
            f"{{ {command}\n}} > .out{number} 2>&1 < /dev/null",
            f"code=$?; echo $code > .code{number}; (exit $code)",
        ]
    script = folder / ".script"
    script.write_text("\n".join(lines), encoding="utf-8")
    subprocess.run(["bash", str(script)], cwd=folder, env=environment, timeout=240, check=False)
    return [
        Result(
            int((folder / f".code{number}").read_text()),
            (folder / f".out{number}").read_text(encoding="utf-8").splitlines(),
        )
        for number in range(len(page))
    ]


def run_python(code: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder; warnings are errors."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def plain(line: str) -> str:
    """Replace the numbers of a line, and runs of spaces, which align them."""
    return re.sub(r"\s+", " ", re.sub(r"-?\d[\d,.:]*(e[+-]\d+)?%?", "#", line)).strip()


def differences(step: Step, result: Result) -> list[str]:
    """Return the lines of a page that its command does not print; numbers are not compared."""
    shown = [line for line in step.shown if line.strip() != "..."]
    if VARIES.search(step.command):
        is_counted = "charlm sample" not in step.command or " -n " in step.command  # running text has any lines
        is_whole = is_counted and len(shown) == len(step.shown) > 0
        return [f"{len(result.lines)} lines"] if is_whole and len(result.lines) != len(shown) else []
    expected = [plain(line) for line in shown]
    if step.command.startswith("charlm train"):
        expected = [line for line in expected if OF_TRAINING.match(line)]
    found = {plain(line) for line in result.lines}
    return [line for line in expected if line not in found]
