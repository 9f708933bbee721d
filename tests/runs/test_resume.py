"""Going on with a stopped run: to the bit where it is the same run, and a clear refusal where it is another."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.checkpoint import read_state, write_state
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.errors import CheckpointError, ResumeError
from charlm.nn.cells import CELLS
from charlm.optim import OPTIMIZERS
from charlm.runs.resume import SavedRun
from charlm.runs.run import Run

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {"hidden": 8, "layers": 2, "batch": 4, "bptt": 10, "threads": 1, "dropout": 0.2, "patience": 0}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20)
    return path


def run(
    path: Path, model: Path, settings: dict[str, Any], stop_at: int | None = None, *, resume: bool = False,
    text: TextConfig | None = None,
) -> np.ndarray:  # fmt: skip
    """Run, stop after a step if one is given, and return the parameters at the end."""
    with Run([path], model, settings, text, resume=resume) as session:
        for report in session.reports():
            if report.step == stop_at:
                session.stop()
        return session.trainer.params.flat.copy()


@pytest.fixture
def stopped(text: Path, tmp_path: Path) -> Path:
    """The model of a run of 30 steps that was stopped after 12: the step behind the report at hand."""
    run(text, tmp_path / "m.safetensors", TINY | {"steps": 30}, 11)
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("cell", "optimizer"), [*((c, "adam") for c in CELLS), *(("gru", o) for o in OPTIMIZERS)])
def test_resume_is_exact(text: Path, tmp_path: Path, cell: str, optimizer: str, lines: bool) -> None:
    """The resumed run is told nothing: its settings come back with it."""
    settings = TINY | {"cell": cell, "optimizer": optimizer, "steps": 24, "seed": 5}
    config = TextConfig(lines=lines)
    expected = run(text, tmp_path / "whole.safetensors", settings, text=config)
    run(text, tmp_path / "parts.safetensors", settings, 11, text=config)
    resumed = run(text, tmp_path / "parts.safetensors", {}, resume=True)
    np.testing.assert_array_equal(resumed, expected)
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole.params.flat, parts.params.flat)
    steps = [json.loads(row)["step"] for row in (tmp_path / "parts.log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert (steps[0] < 11, steps[-1]) == (True, 24)


def test_carried_states_are_columns_in_the_file(stopped: Path) -> None:
    """Whatever the layout in memory: files of other versions can be gone on with."""
    arrays, _ = read_state(stopped.with_name("m.resume.safetensors"))
    shapes = {name: array.shape for name, array in arrays.items() if name.startswith("state.")}
    assert shapes == {f"state.{layer}.{k}": (8, 4) for layer in range(2) for k in range(2)}  # (H, B)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_resume_is_exact_from_both_sides(text: Path, tmp_path: Path, layers: int, lines: bool) -> None:
    settings = TINY | {"bidirectional": True, "layers": layers, "steps": 16}
    config = TextConfig(lines=lines)
    expected = run(text, tmp_path / "whole.safetensors", settings, text=config)
    run(text, tmp_path / "parts.safetensors", settings, 7, text=config)
    np.testing.assert_array_equal(run(text, tmp_path / "parts.safetensors", {}, resume=True), expected)


def test_resume_is_exact_on_two_threads(text: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 9, "threads": 2}
    expected = run(text, tmp_path / "whole.safetensors", settings)
    run(text, tmp_path / "parts.safetensors", settings, 4)
    np.testing.assert_array_equal(run(text, tmp_path / "parts.safetensors", {}, resume=True), expected)


def test_a_budget_that_is_given_replaces_the_old_one(text: Path, stopped: Path) -> None:
    model = charlm.train(text, stopped, resume=True, epochs=2.0)
    settings = model.training.settings
    assert (settings["epochs"], settings["steps"], settings["minutes"]) == (2.0, None, None)


def test_where_it_goes_on_is_said(text: Path, stopped: Path) -> None:
    with Run([text], stopped, resume=True) as session:
        assert "resumed behind step 12, 40% of 30 steps" in session.notes
        assert session.model.score("the fox").log_prob == charlm.load(stopped).score("the fox").log_prob


def test_the_best_model_is_kept_where_a_resumed_run_finds_no_better_one(text: Path, stopped: Path) -> None:
    arrays, facts = read_state(stopped.with_name("m.resume.safetensors"))
    facts["trainer"]["best_loss"] = 0.001
    write_state(stopped.with_name("m.resume.safetensors"), arrays, facts)
    before = stopped.read_bytes()
    model = charlm.train(text, stopped, resume=True)
    assert stopped.read_bytes() == before
    assert model.score("the fox").log_prob == charlm.load(stopped).score("the fox").log_prob


@pytest.mark.parametrize("missing", [False, True])
def test_a_model_of_another_text_is_not_taken_for_that_of_the_run(
    text: Path, tmp_path: Path, stopped: Path, missing: bool
) -> None:
    """Even one of more steps and a lower loss, whether or not the state is that of the best model."""
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("ab" * 500)
    charlm.train(foreign, stopped, overwrite=True, steps=40, **TINY)
    assert charlm.load(stopped).training.valid_loss < 1
    state = stopped.with_name("m.resume.safetensors")
    state.unlink()
    run(text, tmp_path / "own.safetensors", TINY | {"steps": 30}, 11)
    arrays, facts = read_state(tmp_path / "own.resume.safetensors")
    if missing:
        facts["trainer"]["model_step"] = 9
    write_state(state, arrays, facts)
    with Run([text], stopped, resume=True) as session:
        assert session.model.training.digest == session.corpus.source.digest
        assert session.trainer.best_loss > 1
        notes = [note for note in session.notes if "the best model of this run is not there" in note]
        assert len(notes) == missing
        list(session.reports())
    assert charlm.load(stopped).training.digest == session.corpus.source.digest


def test_a_model_without_held_out_text_is_written_again(text: Path, tmp_path: Path) -> None:
    """A kill between state and model, of a run whose model is the latest."""
    path = tmp_path / "m.safetensors"
    run(text, path, TINY | {"steps": 30, "valid": 0.0}, 11)
    before = path.read_bytes()
    path.unlink()
    with Run([text], path, resume=True):
        assert path.read_bytes() == before


def test_a_model_that_was_moved_away_is_written_again(text: Path, stopped: Path) -> None:
    stopped.unlink()
    charlm.train(text, stopped, resume=True)
    assert charlm.load(stopped).training.steps > 12


@pytest.mark.parametrize(
    ("settings", "config", "says"),
    [
        ({"hidden": 9}, None, "has hidden 8, not 9"),
        ({"learning_rate": 0.5}, None, r"has lr 0\.\d+, not 0\.5"),
        ({"cell": "rnn"}, None, "has cell lstm, not rnn"),
        ({"seed": 1}, None, "has seed 0, not 1"),
        ({"size": "tiny"}, None, "has hidden 8, not 64"),
        ({}, TextConfig(lines=True), "has lines False, not True"),
        ({}, TextConfig(min_count=3), "has min-count None, not 3"),
        ({"steps": 12}, None, "used up its budget of 12 steps"),
    ],
)
def test_what_would_be_another_run_is_refused(
    text: Path, stopped: Path, settings: dict[str, Any], config: TextConfig | None, says: str
) -> None:
    files = {path: path.read_bytes() for path in stopped.parent.iterdir()}
    with pytest.raises(ResumeError, match=says):
        run(text, stopped, settings, resume=True, text=config)
    assert {path: path.read_bytes() for path in stopped.parent.iterdir()} == files


def test_a_run_that_lost_patience_needs_more(text: Path, stopped: Path) -> None:
    path = stopped.with_name("m.resume.safetensors")
    arrays, facts = read_state(path)
    facts["trainer"]["stale"], facts["train"]["patience"] = 4, 4
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match="--patience 0 trains on"):
        run(text, stopped, {}, resume=True)
    with Run([text], stopped, {"patience": 0}, resume=True) as session:
        assert session.train.patience == 0


OTHER: dict[str, Any] = {
    "cell": "gru", "hidden": 9, "layers": 1, "dropout": 0.3, "recurrent_dropout": 0.1, "bidirectional": True,
    "batch": 5, "bptt": 11, "learning_rate": 0.5, "warmup": 0.5, "final_rate": 0.5, "optimizer": "sgd", "clip": 0.5,
    "average": 0.5, "restart_rate": 0.5, "valid": 0.25, "held_out": "end", "seed": 1,
}  # fmt: skip
"""Settings of a run that cannot change, with values that the stopped run does not have."""
FREE = {"epochs": 2.0, "steps": 99, "minutes": 3.0, "patience": 5, "threads": 3}
"""Settings that a resumed run may change."""


def test_every_setting_can_change_or_cannot() -> None:
    names = {field.name for kind in (NetworkConfig, TrainConfig) for field in fields(kind)}
    assert OTHER.keys() | FREE.keys() == names


@pytest.mark.parametrize("name", OTHER)
def test_a_setting_that_makes_it_another_run_is_refused(stopped: Path, name: str) -> None:
    saved = SavedRun.read(stopped.with_name("m.resume.safetensors"))
    own = (asdict(saved.network) | asdict(saved.train))[name]
    assert saved.settings({name: own})[name] == own
    shown = "lr" if name == "learning_rate" else name.replace("_", "-")
    with pytest.raises(ResumeError, match=f"the run to resume has {shown} {own}, not {OTHER[name]}"):
        saved.settings({name: OTHER[name]})


@pytest.mark.parametrize("name", FREE)
def test_a_budget_patience_and_threads_may_change(stopped: Path, name: str) -> None:
    settings = SavedRun.read(stopped.with_name("m.resume.safetensors")).settings({name: FREE[name]})
    assert settings[name] == FREE[name]


def test_another_text_is_refused(text: Path, stopped: Path) -> None:
    text.write_text(VERSE * 21)
    with pytest.raises(ResumeError, match=r"the text is not the one .*its length in tokens was 1160, is 1218"):
        run(text, stopped, {}, resume=True)


def test_another_text_of_the_same_characters_is_refused(text: Path, stopped: Path) -> None:
    """Two words change places: only the digest differs."""
    text.write_text(VERSE * 19 + VERSE.replace("quick brown", "brown quick"))
    with pytest.raises(ResumeError, match=r"has learned from \(its SHA-256 was \w+, is \w+\)"):
        run(text, stopped, {}, resume=True)


def test_a_run_that_is_not_there(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="no run to resume"):
        charlm.train(text, tmp_path / "m.safetensors", steps=1, resume=True)


@pytest.mark.parametrize("window", [11, 13])
def test_a_state_at_another_position_in_the_text_is_refused(text: Path, stopped: Path, window: int) -> None:
    path = stopped.with_name("m.resume.safetensors")
    arrays, facts = read_state(path)
    assert facts["trainer"]["cursor"]["window"] == facts["trainer"]["step"] == 12
    facts["trainer"]["cursor"]["window"] = window
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match="its place in the text is not that of its step"):
        run(text, stopped, {}, resume=True)


@pytest.mark.parametrize("lost", ["network", "train", "text", "corpus", "trainer", "cursor", "array", "shape", "range"])
def test_a_state_that_lacks_something_is_refused(text: Path, stopped: Path, lost: str) -> None:
    path = stopped.with_name("m.resume.safetensors")
    arrays, facts = read_state(path)
    if lost == "array":
        del arrays["moment.mean"]
    elif lost == "shape":
        arrays["params"] = arrays["params"][:-1].copy()
    elif lost == "range":
        facts["train"]["batch"] = -4
    else:
        del (facts["trainer"] if lost == "cursor" else facts)[lost]
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match=r"m\.resume\.safetensors: not the state of a run"):
        run(text, stopped, {}, resume=True)


def test_a_state_that_is_damaged_is_refused(text: Path, stopped: Path) -> None:
    path = stopped.with_name("m.resume.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"m\.resume\.safetensors"):
        run(text, stopped, {}, resume=True)
