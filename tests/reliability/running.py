"""Runs training in separate processes that tests kill, interrupt and deprive of resources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import charlm
from charlm.checkpoint import read_state
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training.members import SEED_STRIDE

TEXT = "".join(f"{n} quick brown foxes\njump over {n * n} lazy dogs\nand run away\n" for n in range(60))
SETTINGS: dict[str, Any] = {
    "hidden": 8, "layers": 1, "batch": 4, "bptt": 8, "threads": 1, "dropout": 0.2, "patience": 0, "cell": "gru",
}  # fmt: skip
FLAGS = [*(piece for name, value in SETTINGS.items() for piece in (f"--{name}", str(value))), "--keep-state"]
"""Settings as flags; runs keep their state, so that tests can compare it."""


def write_text(folder: Path) -> Path:
    """Write the text that all runs learn."""
    path = folder / "text.txt"
    path.write_text(TEXT)
    return path


def start(folder: Path, *arguments: object, preexec: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """Start `charlm train` in a folder, its stderr piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", *map(str, arguments)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=preexec,
    )  # fmt: skip


def begin(folder: Path, *arguments: object, steps: int = 10**6) -> subprocess.Popen[bytes]:
    """Start a run of `steps` on the text, saving after each."""
    return start(folder, "text.txt", *FLAGS, "--steps", steps, "--save-every", 0, *arguments)


def wait_for(is_so: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.005)


def saved_step(folder: Path) -> int:
    """Return the step of the state in a folder; the state must be intact."""
    return min(saved_steps(folder))


def saved_steps(folder: Path) -> list[int]:
    """Return the step of each network in the state of a folder; members of an ensemble may differ."""
    trainer = read_state(folder / "charlm.resume")[1]["trainer"]
    return [int(network["step"]) for network in trainer.get("members", [trainer])]


def check_files(folder: Path) -> int:
    """Open everything that a run has left in a folder; returns the step of the state."""
    model = charlm.load(folder / "charlm.safetensors")
    assert model.score("quick").log_prob < 0
    *rows, last = (folder / "charlm.log.jsonl").read_bytes().split(b"\n")
    assert all(isinstance(json.loads(row)["step"], int) for row in rows)
    assert last == b""
    return saved_step(folder)


def uninterrupted(folder: Path, steps: int, stop: int, **settings: Any) -> dict[str, np.ndarray]:
    """Return the arrays that a run of `steps` has after step `stop`, never interrupted and never saved before."""
    whole = folder / "whole"
    whole.mkdir(exist_ok=True)
    with Run([folder / "text.txt"], whole / "m.safetensors", SETTINGS | settings | {"steps": steps},
             RunOptions(overwrite=True)) as run:  # fmt: skip
        for report in run.reports():
            if report.step == stop:
                state = run.trainer.state_dict()
                return {name: value.copy() for name, value in state.items() if isinstance(value, np.ndarray)}
    raise AssertionError(f"the run ended before step {stop}")


def assert_continued_to_the_bit(folder: Path, steps: int, **settings: Any) -> None:
    """Assert that the state of a run of `steps` in a folder is that of uninterrupted runs, one for each network."""
    reached = saved_steps(folder)
    expected: dict[str, np.ndarray] = {}
    for k, step in enumerate(reached):
        prefix = f"{k}." if len(reached) > 1 else ""
        arrays = uninterrupted(folder, steps, step, **settings, seed=SEED_STRIDE * k)
        expected |= {prefix + name: array for name, array in arrays.items()}
    assert_same_arrays(folder / "charlm.resume", expected)


def assert_same_arrays(state: Path, expected: dict[str, np.ndarray]) -> None:
    """Assert that a state file holds just these arrays, bit for bit."""
    found, _ = read_state(state)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
