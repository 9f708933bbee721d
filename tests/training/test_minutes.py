"""A budget of minutes: it counts only training, and evaluations take a small part of it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import charlm
import charlm.cli
from charlm.checkpoint import read_state
from charlm.engines.host_engine import HostEngine
from charlm.errors import DivergedError
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.text.corpus import Corpus
from charlm.training.evaluation import HeldOut, Sums
from charlm.training.learner import Learner
from charlm.training.pace import EvaluationPace, affordable_characters
from charlm.training.report import Event
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {
    "hidden": 4, "layers": 1, "batch": 4, "bptt": 10, "threads": 1, "patience": 0, "ensemble": 1,
}  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 100)
    return path


class Time:
    """A clock that advances only in the functions that are slowed down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._monkeypatch = monkeypatch
        for module in ("training.trainer", "training.learner", "runs.run", "runs.saving"):
            monkeypatch.setattr(f"charlm.{module}.monotonic", lambda: self.now)

    def slow_down(self, owner: Any, name: str, seconds: float) -> None:
        """Make each call of a function take this time."""
        function: Callable[..., Any] = getattr(owner, name)

        def slow(*arguments: Any, **named: Any) -> Any:
            self.now += seconds
            return function(*arguments, **named)

        self._monkeypatch.setattr(owner, name, slow)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """A clock on which each step takes a second."""
    time = Time(monkeypatch)
    time.slow_down(Learner, "train_window", 1.0)
    return time


@pytest.mark.parametrize("slow", ["Corpus.read", "load", "batches_over", "run_memory", "create_engine", "snapshot"])
def test_clock_excludes_setup(text: Path, tmp_path: Path, time: Time, slow: str) -> None:
    charlm.train(text, tmp_path / "parent.safetensors", steps=1, **TINY)
    if slow == "snapshot":
        time.slow_down(numpy, "save", 100.0)  # at the first step alone: there are fewer than 100 steps
    else:
        owner = Corpus if slow == "Corpus.read" else sys.modules["charlm.runs.run"]
        time.slow_down(owner, slow.removeprefix("Corpus."), 100.0)
    parent = tmp_path / "parent.safetensors" if slow == "load" else None
    with Run(
        [text], tmp_path / "m.safetensors", TINY | {"minutes": 0.5, "valid": 0.0}, RunOptions(init_from=parent)
    ) as run:
        time.now += 100.0
        seconds = [report.seconds for report in run.reports()]
    assert seconds == [float(n) for n in range(1, 31)]


def test_steps_between_two_reads_end_with_the_minutes(
    text: Path, tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first step, an asynchronous engine takes those of five seconds, up to the next tenth of the minutes."""
    monkeypatch.setattr(HostEngine, "is_asynchronous", True)
    tuning = TrainingTuning(round_seconds=5.0)
    with Run([text], tmp_path / "m.safetensors", TINY | {"minutes": 0.5, "valid": 0.0}, tuning=tuning) as run:
        seconds = [report.seconds for report in run.reports()]
    assert seconds == [1.0, *map(float, range(3, 31, 3))]


def test_clock_excludes_pause_between_processes(text: Path, tmp_path: Path, time: Time) -> None:
    with Run([text], tmp_path / "m.safetensors", TINY | {"minutes": 0.5, "valid": 0.0}) as run:
        for report in run.reports():
            if report.step == 9:
                run.stop()
        time.now += 100.0
    with Run([text], tmp_path / "m.safetensors", None, RunOptions(resume=True)) as run:
        time.now += 100.0
        assert [report.seconds for report in run.reports()] == [float(n) for n in range(11, 31)]


@pytest.mark.parametrize("settings", [{"minutes": 1e-9}, {"minutes": 0.01}, {"steps": 1, "minutes": 1e-9}])
def test_shortest_budget_makes_one_step(text: Path, tmp_path: Path, time: Time, settings: dict[str, Any]) -> None:
    model = charlm.train(text, tmp_path / "m.safetensors", **TINY, **settings)
    assert model.training.steps == 1
    assert model.training.valid_loss < math.log(40)


def test_clock_excludes_slow_standard_input(tmp_path: Path) -> None:
    flags = [piece for name, value in TINY.items() for piece in (f"--{name}", str(value))]
    with subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", "-", "--minutes", "0.01", *flags],
        cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)
        _, err = process.communicate((VERSE * 100).encode(), timeout=60)
    assert process.returncode == 0, err
    assert charlm.load(tmp_path / "charlm.safetensors").training.steps > 1


def diverge(learner: Learner, rate: float) -> tuple[float, float]:
    raise DivergedError("the loss is nan nats")


@pytest.mark.parametrize("budget", [{"steps": 100}, {"minutes": 1e-9}])
def test_run_without_step_fails_and_writes_nothing(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, Any]
) -> None:
    monkeypatch.setattr(Learner, "train_window", diverge)
    with pytest.raises(DivergedError, match=r"the loss is nan nats; .* there is no trained model to write"):
        charlm.train(text, tmp_path / "m.safetensors", save_minutes=0, **TINY, **budget)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt"]


def test_run_without_step_keeps_old_files(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    charlm.train(text, tmp_path / "m.safetensors", steps=3, keep_state=True, **TINY)
    files = [tmp_path / "m.safetensors", tmp_path / "m.resume"]
    before = [path.read_bytes() for path in files]
    monkeypatch.setattr(Learner, "train_window", diverge)
    assert charlm.cli.run(["train", str(text), "-m", str(files[0]), "--overwrite", "--ensemble", "1"]) == 1
    assert "there is no trained model to write" in capsys.readouterr().err.splitlines()[-1]
    assert [path.read_bytes() for path in files] == before


@pytest.fixture
def evaluation(time: Time) -> Callable[[float], None]:
    """A function that sets the time of each evaluation, in seconds."""
    return lambda seconds: time.slow_down(sys.modules["charlm.training.trainer"], "calibrate", seconds)


UNFORESEEN = TrainingTuning(evaluation_speedup=1e9)
"""Tuning that estimates no time for evaluations."""


def evaluations(text: Path, model: Path, **settings: Any) -> list[int]:
    """Train, and return the steps after which the held-out loss was measured."""
    with Run([text], model, TINY | settings, tuning=UNFORESEEN) as run:
        return [report.step for report in run.reports() if report.valid_loss is not None]


def test_costly_evaluations_take_a_tenth_of_the_minutes(
    text: Path, tmp_path: Path, evaluation: Callable[[float], None]
) -> None:
    """Evaluations of 3 seconds each are 43 seconds of training apart; the budget of 100 seconds includes the last."""
    evaluation(3.0)
    assert evaluations(text, tmp_path / "m.safetensors", minutes=100 / 60) == [10, 53, 91]


def test_first_evaluation_measures_how_much_text_the_minutes_allow(
    text: Path, tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 600 characters takes 3 seconds; an evaluation reads them twice and may take 2 of 100 seconds."""
    measure, seconds = Learner.measure, 0.0

    def slow(learner: Learner, held_out: HeldOut, logit_scale: float) -> Sums:
        nonlocal seconds
        time.now += held_out.characters / 200
        seconds += held_out.characters / 200
        return measure(learner, held_out, logit_scale)

    monkeypatch.setattr(Learner, "measure", slow)
    tuning = TrainingTuning(min_held_out_characters=10, evaluation_speedup=50.0)  # far too optimistic
    with Run([text], tmp_path / "m.safetensors", TINY | {"minutes": 100 / 60, "valid": 0.104}, tuning=tuning) as run:
        found = [report.step for report in run.reports() if report.valid_loss is not None]
        assert run.trainer.held_out.characters == pytest.approx(200, abs=2)
    assert len(found) > 3
    assert seconds < 10


def test_evaluations_beyond_the_budget_happen_only_at_the_end(
    text: Path, tmp_path: Path, evaluation: Callable[[float], None]
) -> None:
    evaluation(500.0)
    steps = evaluations(text, tmp_path / "m.safetensors", minutes=100 / 60)
    assert len(steps) <= 2
    assert steps[0] >= 10


def test_cheap_evaluations_happen_after_each_tenth(
    text: Path, tmp_path: Path, evaluation: Callable[[float], None]
) -> None:
    evaluation(0.001)
    steps = evaluations(text, tmp_path / "m.safetensors", minutes=200.1 / 60)
    assert len(steps) == 10


@pytest.mark.parametrize("budget", [{"steps": 50}, {"epochs": 50 / 128}, {"steps": 50, "minutes": 100.0}])
def test_evaluations_with_step_or_epoch_budget_ignore_their_cost(
    text: Path, tmp_path: Path, evaluation: Callable[[float], None], budget: dict[str, Any]
) -> None:
    cheap = evaluations(text, tmp_path / "cheap.safetensors", **budget)
    evaluation(30.0)
    assert evaluations(text, tmp_path / "costly.safetensors", **budget) == cheap
    assert len(cheap) == 10


def test_short_budget_limits_held_out_text(tmp_path: Path, time: Time) -> None:
    text = tmp_path / "text.txt"
    text.write_text(VERSE * 500)
    events: list[Event] = []
    size = DEFAULT_TUNING.min_held_out_characters
    with Run([text], tmp_path / "m.safetensors", TINY | {"minutes": 5}, on_event=events.append) as run:
        for report in run.reports():
            if report.step == 200:
                run.stop()
        assert any(f"evaluations read {size:,} of the 2,900" in event.message for event in events)
    assert read_state(tmp_path / "m.resume")[1]["trainer"]["held_out_size"] == size
    with Run([text], tmp_path / "m.safetensors", None, RunOptions(resume=True)) as run:
        list(run.reports())
        assert run.trainer.held_out.characters == size
    with Run([text], tmp_path / "whole.safetensors", TINY | {"steps": 30}) as run:
        list(run.reports())
        assert run.trainer.held_out.characters == 2900


def test_affordable_characters_grow_with_minutes_and_speed() -> None:
    assert affordable_characters(2.0, 100_000.0) == pytest.approx(120_000, abs=1)
    assert affordable_characters(0.001, 10.0) == DEFAULT_TUNING.min_held_out_characters


def test_pace_uses_estimate_until_first_measurement() -> None:
    pace = EvaluationPace()
    pace.start(5.0)
    pace.estimate(1000, 500.0, None)  # read twice
    assert pace.missing_seconds(15.0) == pytest.approx(3.3)
    pace.estimate(100_000, 500.0, 2.0)  # the budget affords 600 characters
    assert pace.seconds == pytest.approx(2.4, abs=0.01)
    pace.record(0.35, 20.0)
    pace.estimate(1000, 500.0, None)
    assert pace.missing_seconds(25.0) == pytest.approx(0.0)
