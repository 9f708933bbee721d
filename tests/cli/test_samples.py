"""Samples that training shows: from the current weights, in little time, without an effect on training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.cli import samples
from charlm.cli.samples import FRACTION, MIN_CHARACTERS, TrainingSamples, fit, in_one_line
from charlm.config import TextConfig
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from tests.cli.command import charlm
from tests.cli.conftest import TINY

SETTINGS: dict[str, Any] = {"hidden": 8, "layers": 1, "batch": 4, "bptt": 10, "threads": 1, "patience": 0, "steps": 40}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} quick brown foxes\njump over {n * n} lazy dogs\n" for n in range(60)))
    return path


class Clock:
    """A clock that advances by a given time at each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick
        monkeypatch.setattr(samples, "monotonic", self.look)

    def look(self) -> float:
        self.now += self.tick
        return self.now


@pytest.mark.parametrize(("lines", "ensemble"), [(False, 1), (True, 1), (False, 2)])
def test_sample_is_of_current_weights_and_does_not_change_training(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bool, ensemble: int
) -> None:
    clock, config = Clock(monkeypatch), TextConfig(lines=lines)
    settings = SETTINGS | {"ensemble": ensemble}
    shown, expected = [], []
    with Run([text], tmp_path / "a", settings, RunOptions(config)) as run:
        drawer = TrainingSamples(run)
        for report in run.reports():
            if report.valid_loss is not None:
                clock.now += 100
                shown.append(drawer.draw(30, report.step))
                expected.append("".join(run.current_model().stream(seed=report.step, length=30)))
        with_samples = [params.flat.copy() for params in run.trainer.weights()]
    assert len(shown) == 10
    for one, first in zip(shown, expected, strict=True):
        assert one.startswith(in_one_line(first)[:30])
        assert len(one) <= 30
    with Run([text], tmp_path / "b", settings, RunOptions(config)) as run:
        list(run.reports())
        without = run.trainer.weights()
    for own, other in zip(with_samples, without, strict=True):
        np.testing.assert_array_equal(own, other.flat)


def test_sample_of_texts_with_labels_starts_with_its_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, path = Clock(monkeypatch), tmp_path / "rows.tsv"
    path.write_text("".join(f"{'xyx'[n % 3]}\t{n} quick foxes\n" for n in range(90)))
    with Run([path], tmp_path / "a", SETTINGS | {"ensemble": 1}, RunOptions(TextConfig(task="conditional"))) as run:
        drawer = TrainingSamples(run)
        for report in run.reports():
            clock.now += 100
            label = "xy"[report.step % 2]
            shown = drawer.draw(30, report.step)
            expected = "".join(run.current_model().stream(seed=report.step, length=30, label=label))
            assert shown.startswith(in_one_line(f"{label}: {expected}")[:30])


def test_sample_is_not_of_best_weights(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Run([text], tmp_path / "a", SETTINGS) as run:
        drawer = TrainingSamples(run)
        list(run.reports())
        run.trainer.learner.engine.average.flat *= -2
        clock.now += 100
        drawn = drawer.draw(30, 5)
        current, best = ("".join(model.stream(seed=5, length=30)) for model in (run.current_model(), run.model))
    assert drawn.startswith(in_one_line(current)[:30])
    assert not drawn.startswith(in_one_line(best)[:30])


def test_samples_take_a_hundredth_of_the_time(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, tick=0.01)  # each character takes this time
    with Run([text], tmp_path / "a", SETTINGS) as run:
        next(run.reports())
        drawer, start, spent, drawn = TrainingSamples(run), clock.now, 0.0, []
        for step in range(200):
            clock.now += 2.0
            before = clock.now
            drawn.append(drawer.draw(60, step))
            spent += clock.now - before
        limit = FRACTION * (clock.now - start) + 0.01 * (len(drawn) + MIN_CHARACTERS)  # a look at the clock each
        clock.now += 100.0
        assert len(drawer.draw(60, 0)) > 40
        while drawer.draw(60, 0):  # until there is no time
            pass
        assert len(drawer.draw(60, 0, is_last=True)) > 40  # after the training
    assert spent <= limit
    assert 0 < len(drawn[0]) <= MIN_CHARACTERS + 1  # there was time for no more
    assert not all(drawn)


def test_bidirectional_run_has_no_samples(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Run([text], tmp_path / "a", SETTINGS | {"bidirectional": True}) as run:
        next(run.reports())
        drawer = TrainingSamples(run)
        clock.now += 100
        assert drawer.draw(30, 1) == ""


def test_samples_are_shown_on_a_terminal_alone_unless_switched_off(text: Path) -> None:
    pytest.importorskip("termios", reason="no terminals of this kind here")
    from tests.cli.screen import Screen

    run = ("train", text.name, "--steps", 60, "--overwrite", *TINY)
    mark = r"%  held-out "
    with Screen(*run, cwd=text.parent, columns=120) as screen:
        assert screen.end() == 0
    assert mark in screen.shown
    with Screen(*run, "--no-samples", cwd=text.parent, columns=120) as screen:
        assert screen.end() == 0
    assert mark not in screen.shown
    assert mark not in charlm(*run, cwd=text.parent).err


def test_sample_is_one_line_without_control_characters() -> None:
    assert in_one_line("a b\n\n  c\x1b[1m\n") == "a b / c\\x1b[1m"
    assert in_one_line("\n \n") == ""


def test_sample_fits_in_columns_of_wide_characters() -> None:
    assert fit("\u5e8a\u524d\u660e\u6708", 5) == "\u5e8a\u524d"
    assert fit("abc", 5) == "abc"
