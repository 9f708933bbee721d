"""Training that explodes: back to the last good state, at half the learning rate; then DivergedError, the best kept."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.checkpoint import read_state
from charlm.config import TextConfig
from charlm.errors import DivergedError
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training.divergence import DivergenceGuard
from charlm.training.members import Members
from charlm.training.report import Event
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning
from tests.reliability.running import SETTINGS, assert_same_arrays, start, write_text

WILD: dict[str, Any] = SETTINGS | {"clip": 0.0, "dropout": 0.0, "restart_rate": 0.0}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_absurd_learning_rate_ends_in_an_error_and_writes_no_untrained_model(
    text: Path, tmp_path: Path, optimizer: str, threads: int
) -> None:
    settings = WILD | {"optimizer": optimizer, "threads": threads, "learning_rate": 1e6, "steps": 300}
    with pytest.raises(DivergedError, match=r"5 returns to step 0, each at half the learning rate") as caught:
        charlm.train(text, tmp_path / "m.safetensors", **settings)
    assert "there is no trained model to write" in str(caught.value)
    assert not list(tmp_path.glob("m.*safetensors"))


def test_repeated_divergence_is_an_error_that_keeps_the_best_model(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m.safetensors", WILD | {"steps": 300}) as run:

        def train() -> None:
            for report in run.reports():
                if report.step > 150:
                    run.trainer.learner.params.flat[...] = np.nan

        with pytest.raises(DivergedError, match=r"5 returns to step 100, each at half the learning rate") as caught:
            train()
    assert f"the best model so far is kept in {tmp_path / 'm.safetensors'}" in str(caught.value)
    model = charlm.load(tmp_path / "m.safetensors")
    assert math.isfinite(model.score("quick brown").log_prob)
    arrays, _ = read_state(tmp_path / "m.resume")
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_rate_that_diverges_is_halved_until_training_converges(text: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    settings = WILD | {"learning_rate": 20.0, "steps": 200}
    with Run([text], tmp_path / "m.safetensors", settings, on_event=events.append) as run:
        reports = list(run.reports())
    said = [event.message for event in events if "diverged" in event.message]
    assert 1 <= len(said) <= DEFAULT_TUNING.max_rollbacks
    assert "back to step 0, the peak learning rate halved to 10" in said[0]
    assert max(report.learning_rate for report in reports[-150:]) <= 20.0 / 2 ** len(said)
    assert reports[-1].train_loss < reports[0].train_loss
    assert charlm.load(tmp_path / "m.safetensors").training.valid_loss < math.log(38)


def test_command_reports_divergence_in_lines_and_exits_with_1(text: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "text.txt", "--hidden", 8, "--threads", 1, "--steps", 50, "--lr", 1e6, "--clip", 0)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("charlm: training diverged at step ")
    assert "Traceback" not in err
    assert "Warning" not in err
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("disk", ["free", "full"])
def test_large_snapshot_is_kept_on_disk_if_it_fits(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    def full(**_: Any) -> Any:
        raise OSError(28, "No space left on device")

    settings = WILD | {"learning_rate": 20.0, "steps": 60}
    events: list[Event] = []
    tuning = TrainingTuning(max_snapshot_bytes=1)
    charlm.train(text, tmp_path / "memory.safetensors", keep_state=True, **settings)
    if disk == "full":
        monkeypatch.setattr("tempfile.TemporaryFile", full)
    options = RunOptions(keep_state=True)
    with Run([text], tmp_path / "disk.safetensors", settings, options, events.append, tuning) as run:
        list(run.reports())
        assert any("back to step 0" in event.message for event in events)
        assert isinstance(run.trainer.learner.guard._file, BytesIO) == (disk == "full")
    assert_same_arrays(tmp_path / "disk.resume", read_state(tmp_path / "memory.resume")[0])


@pytest.mark.parametrize("how", ["huge", "nan"])
@pytest.mark.parametrize("threads", [1, 2])
def test_divergence_in_mid_run_costs_at_most_a_hundred_steps(
    text: Path, tmp_path: Path, how: str, threads: int
) -> None:
    settings = WILD | {"threads": threads, "learning_rate": 0.01, "steps": 400}
    lowest = math.inf
    back = None
    events: list[Event] = []
    with Run([text], tmp_path / "m.safetensors", settings, RunOptions(save_minutes=0), events.append) as run:
        last = 0
        for report in run.reports():
            if report.step < last:
                back = report.step
                kept = charlm.load(tmp_path / "m.safetensors").training.valid_loss
                assert kept == lowest
            if report.valid_loss is not None:
                lowest = min(lowest, report.valid_loss)
            if report.step == 250 and back is None:
                run.trainer.learner.params.flat[...] *= np.nan if how == "nan" else 1e6
            last = report.step
    assert back == 201
    assert last == 400
    assert any("back to step 200" in event.message for event in events)
    assert lowest < 2.5
    assert charlm.load(tmp_path / "m.safetensors").training.valid_loss == lowest


def test_run_that_was_rolled_back_resumes_to_the_bit(text: Path, tmp_path: Path) -> None:
    settings = WILD | {"learning_rate": 20.0, "steps": 60}
    charlm.train(text, tmp_path / "whole.safetensors", keep_state=True, **settings)
    with Run([text], tmp_path / "parts.safetensors", settings) as run:
        for report in run.reports():
            if report.step == 30:
                run.stop()
        assert run.trainer.learner.guard.rate_factor < 1
    charlm.train(text, tmp_path / "parts.safetensors", resume=True, keep_state=True)
    assert_same_arrays(tmp_path / "parts.resume", read_state(tmp_path / "whole.resume")[0])


@pytest.mark.parametrize("noticed_by", ["step", "evaluation"])
def test_member_that_diverges_returns_to_its_snapshot_and_the_other_continues(
    text: Path, tmp_path: Path, noticed_by: str
) -> None:
    events: list[Event] = []
    settings = WILD | {"learning_rate": 0.01, "steps": 200}
    with Run([text], tmp_path / "m.safetensors", settings | {"ensemble": 2}, on_event=events.append) as run:
        members = run.trainer.learner
        assert isinstance(members, Members)
        for report in run.reports():
            if report.step == 140 and not any("diverged" in event.message for event in events):
                state = members.state_dict()
                state["1.params"][...] = np.nan
                members.load_state_dict(state)
                if noticed_by == "evaluation":
                    with pytest.raises(DivergedError):
                        members.measure(None, 1.0)
                    members.roll_back("a weight is not finite")
                    assert [own.step for own in members.progress] == [140, 100]
        state, first = members.state_dict(), members.weights(1.0)[0]
    diverged = [event.message for event in events if "diverged" in event.message]
    assert [message.split(":")[0] for message in diverged] == ["member 1"]
    assert "back to step 100" in diverged[0]
    assert [(own["step"], own["recovery"]["rate_factor"]) for own in state["members"]] == [(200, 1.0), (200, 0.5)]
    assert math.isfinite(charlm.load(tmp_path / "m.safetensors").score("quick brown").log_prob)
    with Run([text], tmp_path / "alone.safetensors", settings) as alone:
        list(alone.reports())
        np.testing.assert_array_equal(first.flat, alone.trainer.learner.weights(1.0)[0].flat)


def test_rolled_back_time_counts_against_the_budget(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m.safetensors", WILD | {"steps": 250}) as run:
        before = 0.0
        for report in run.reports():
            assert report.seconds >= before
            before = report.seconds
            if report.step == 150 and run.trainer.learner.guard.rollbacks == 0:
                run.trainer.learner.params.flat[:] = np.nan


def test_ordinary_noise_is_not_divergence() -> None:
    """Losses of windows of one character: exponential, some of them ten times their mean."""
    rng = np.random.default_rng(0)
    guard = DivergenceGuard(50)
    losses = np.concatenate([np.full(300, math.log(50)), rng.exponential(1.2, 20_000)])
    for step, loss in enumerate(losses):
        guard.check_loss(float(loss), 1, step)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf + math.inf, 12.0])
def test_loss_far_above_its_usual_level_is_divergence(loss: float) -> None:
    guard = DivergenceGuard(50)
    for step in range(100):
        guard.check_loss(3.0 + 0.1 * (step % 3), 256, step)
    with pytest.raises(DivergedError, match="far above its level of 3"):
        guard.check_loss(loss, 256, 100)


class TestLabels:
    def test_few_surprising_labels_are_no_divergence(self) -> None:
        guard = DivergenceGuard(2, has_labels=True)
        guard.level = 0.1
        for loss in (6.0, 0.0, 0.1, 7.0, 0.05):
            guard.check_loss(loss, 1, 10)
        assert guard.level < 1
        with pytest.raises(DivergedError):
            DivergenceGuard(2).check_loss(7.0, 100, 10)

    @pytest.mark.parametrize("loss", [1000.0, float("nan"), float("inf")])
    def test_huge_loss_of_few_labels_is_a_divergence(self, loss: float) -> None:
        with pytest.raises(DivergedError):
            DivergenceGuard(2, has_labels=True).check_loss(loss, 1, 10)

    def test_loss_that_stays_high_is_a_divergence(self) -> None:
        guard = DivergenceGuard(2, has_labels=True)
        for _ in range(6):
            guard.check_loss(9.0, 3, 10)
        guard.level = 3.3
        with pytest.raises(DivergedError):
            guard.check_loss(9.0, 3, 10)

    def test_window_without_labels_does_not_count(self) -> None:
        guard = DivergenceGuard(2, has_labels=True)
        guard.check_loss(0.0, 0, 10)
        assert guard.level == guard.uniform_loss


def test_documents_with_wrong_labels_train(tmp_path: Path) -> None:
    """A window has one label or none; a wrong one has a large loss."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(150):
        label = int(rng.integers(2))
        text = " ".join(rng.choice(["lamp", "light", "sea"] if label else ["bank", "coin", "paper"], 20))
        rows.append(f"{label ^ int(rng.random() < 0.07)}\t{text}\n")
    (tmp_path / "rows.tsv").write_text("".join(rows))
    events: list[Event] = []
    settings = {"hidden": 16, "layers": 1, "batch": 2, "bptt": 32, "steps": 300, "threads": 1, "dropout": 0.0,
                "learning_rate": 0.03, "patience": 0, "ensemble": 1}  # fmt: skip
    options = RunOptions(TextConfig(task="classify"))
    with Run([tmp_path / "rows.tsv"], tmp_path / "m.safetensors", settings, options, events.append) as run:
        losses = [report.train_loss for report in run.reports()]
    assert not [event for event in events if "diverged" in event.message]
    assert 0 < min(losses[10:]) < 0.5
