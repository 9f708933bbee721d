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
from charlm.errors import DivergedError
from charlm.runs.run import Run
from charlm.training import divergence
from charlm.training.divergence import MOST_RETURNS, DivergenceGuard
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


def test_explosions_without_end_are_an_error_with_the_best_model_kept(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m.safetensors", WILD | {"steps": 300}) as session:

        def train() -> None:
            for report in session.reports():
                if report.step > 150:
                    session.trainer.params.flat[...] = np.nan

        with pytest.raises(DivergedError, match=r"5 returns to step 100, each at half the learning rate") as caught:
            train()
    assert f"the best model so far is kept in {tmp_path / 'm.safetensors'}" in str(caught.value)
    model = charlm.load(tmp_path / "m.safetensors")
    assert math.isfinite(model.score("quick brown").log_prob)
    arrays, _ = read_state(tmp_path / "m.resume.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_rate_that_is_too_high_is_halved_until_it_works(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m.safetensors", WILD | {"learning_rate": 20.0, "steps": 200}) as session:
        reports = list(session.reports())
    said = [note for note in session.notes if "diverged" in note]
    assert 1 <= len(said) <= MOST_RETURNS
    assert "back to step 0, the peak learning rate halved to 10" in said[0]
    assert max(report.learning_rate for report in reports[-150:]) <= 20.0 / 2 ** len(said)
    assert reports[-1].train_loss < reports[0].train_loss
    assert charlm.load(tmp_path / "m.safetensors").training.valid_loss < math.log(38)


def test_the_command_says_so_in_lines_and_exits_with_1(text: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "text.txt", "--hidden", 8, "--threads", 1, "--steps", 50, "--lr", 1e6, "--clip", 0)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("charlm: training diverged at step ")
    assert "Traceback" not in err
    assert "Warning" not in err
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("disk", ["free", "full"])
def test_a_large_state_is_kept_on_disk_if_there_is_room(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    def full(prefix: str) -> Any:
        raise OSError(28, "No space left on device")

    settings = WILD | {"learning_rate": 20.0, "steps": 60}
    charlm.train(text, tmp_path / "memory.safetensors", **settings)
    monkeypatch.setattr(divergence, "IN_MEMORY", 0)
    if disk == "full":
        monkeypatch.setattr(divergence, "TemporaryFile", full)
    with Run([text], tmp_path / "disk.safetensors", settings) as session:
        list(session.reports())
        assert any("back to step 0" in note for note in session.notes)
        assert isinstance(session.trainer.recovery._kept, BytesIO) == (disk == "full")
    assert_same_arrays(tmp_path / "disk.resume.safetensors", read_state(tmp_path / "memory.resume.safetensors")[0])


@pytest.mark.parametrize("how", ["huge", "nan"])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_explosion_in_mid_run_costs_a_hundred_steps_and_not_the_best_model(
    text: Path, tmp_path: Path, how: str, threads: int
) -> None:
    settings = WILD | {"threads": threads, "learning_rate": 0.01, "steps": 400}
    lowest = math.inf
    back = None
    with Run([text], tmp_path / "m.safetensors", settings, save_minutes=0) as session:
        last = 0
        for report in session.reports():
            if report.step < last:
                back = report.step
                kept = charlm.load(tmp_path / "m.safetensors").training.valid_loss
                assert kept == lowest
            if report.valid_loss is not None:
                lowest = min(lowest, report.valid_loss)
            if report.step == 250 and back is None:
                session.trainer.params.flat[...] *= np.nan if how == "nan" else 1e6
            last = report.step
    assert back == 201
    assert last == 400
    assert any("back to step 200" in note for note in session.notes)
    assert lowest < 2.5
    assert charlm.load(tmp_path / "m.safetensors").training.valid_loss == lowest


def test_a_run_that_has_gone_back_resumes_to_the_bit(text: Path, tmp_path: Path) -> None:
    settings = WILD | {"learning_rate": 20.0, "steps": 60}
    charlm.train(text, tmp_path / "whole.safetensors", **settings)
    with Run([text], tmp_path / "parts.safetensors", settings) as session:
        for report in session.reports():
            if report.step == 30:
                session.stop()
        assert session.trainer.recovery.rate_factor < 1
    charlm.train(text, tmp_path / "parts.safetensors", resume=True)
    assert_same_arrays(tmp_path / "parts.resume.safetensors", read_state(tmp_path / "whole.resume.safetensors")[0])


def test_time_that_was_used_stays_used(text: Path, tmp_path: Path) -> None:
    with Run([text], tmp_path / "m.safetensors", WILD | {"steps": 250}) as session:
        before = 0.0
        for report in session.reports():
            assert report.seconds >= before
            before = report.seconds
            if report.step == 150 and session.trainer.recovery.returns == 0:
                session.trainer.params.flat[:] = np.nan


class Watched:
    """As much of a trainer as a DivergenceGuard looks at while nothing goes wrong."""

    class network:  # noqa: N801
        vocabulary = 50

    step = 0


def test_ordinary_noise_is_no_explosion() -> None:
    """Losses of windows of one character: exponential, some of them ten times their mean."""
    rng = np.random.default_rng(0)
    divergence = DivergenceGuard(Watched())  # type: ignore[arg-type]
    losses = np.concatenate([np.full(300, math.log(50)), rng.exponential(1.2, 20_000)])
    for Watched.step, loss in enumerate(losses):
        divergence.check_loss(float(loss), 1)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf + math.inf, 12.0])
def test_what_is_far_above_the_level_is_one(loss: float) -> None:
    divergence = DivergenceGuard(Watched())  # type: ignore[arg-type]
    for Watched.step in range(100):
        divergence.check_loss(3.0 + 0.1 * (Watched.step % 3), 256)
    with pytest.raises(DivergedError, match="far above its level of 3"):
        divergence.check_loss(loss, 256)
