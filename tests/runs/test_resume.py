"""Resuming a stopped run: bit for bit, or refused if it would be another run."""

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
from charlm.errors import CheckpointError, ModelExistsError, ResumeError
from charlm.nn.cells import CELLS
from charlm.optim import OPTIMIZERS
from charlm.runs.resume import SavedRun
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training.report import Event

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {"hidden": 8, "layers": 2, "batch": 4, "bptt": 10, "threads": 1, "dropout": 0.2, "patience": 0}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20)
    return path


def train_until(
    path: Path, model: Path, settings: dict[str, Any], stop_at: int | None = None, *, resume: bool = False,
    text: TextConfig | None = None,
) -> np.ndarray:  # fmt: skip
    """Train, stop after a given step, and return the parameters at the end."""
    with Run([path], model, settings, RunOptions(text or TextConfig(), resume=resume)) as run:
        for report in run.reports():
            if report.step == stop_at:
                run.stop()
        return run.trainer.learner.params.flat.copy()


@pytest.fixture
def stopped(text: Path, tmp_path: Path) -> Path:
    """The model of a run of 30 steps that was stopped in the report of step 11, and so after step 12."""
    train_until(text, tmp_path / "m.safetensors", TINY | {"steps": 30}, 11)
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("cell", "optimizer"), [*((c, "adam") for c in CELLS), *(("gru", o) for o in OPTIMIZERS)])
def test_resume_is_exact(text: Path, tmp_path: Path, cell: str, optimizer: str, lines: bool) -> None:
    """The resumed run needs no settings: it restores them."""
    settings = TINY | {"cell": cell, "optimizer": optimizer, "steps": 24, "seed": 5}
    config = TextConfig(lines=lines)
    expected = train_until(text, tmp_path / "whole.safetensors", settings, text=config)
    train_until(text, tmp_path / "parts.safetensors", settings, 11, text=config)
    resumed = train_until(text, tmp_path / "parts.safetensors", {}, resume=True)
    np.testing.assert_array_equal(resumed, expected)
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole.params.flat, parts.params.flat)
    steps = [json.loads(row)["step"] for row in (tmp_path / "parts.log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert (steps[0] < 11, steps[-1]) == (True, 24)


def test_state_file_stores_carried_states_as_columns(stopped: Path) -> None:
    """The file does not depend on the layout in memory."""
    arrays, _ = read_state(stopped.with_name("m.resume"))
    shapes = {name: array.shape for name, array in arrays.items() if name.startswith("state.")}
    assert shapes == {f"state.{layer}.{k}": (8, 4) for layer in range(2) for k in range(2)}  # (H, B)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_resume_of_bidirectional_network_is_exact(text: Path, tmp_path: Path, layers: int, lines: bool) -> None:
    settings = TINY | {"bidirectional": True, "layers": layers, "steps": 16}
    config = TextConfig(lines=lines)
    expected = train_until(text, tmp_path / "whole.safetensors", settings, text=config)
    train_until(text, tmp_path / "parts.safetensors", settings, 7, text=config)
    np.testing.assert_array_equal(train_until(text, tmp_path / "parts.safetensors", {}, resume=True), expected)


def test_resume_is_exact_on_two_threads(text: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 9, "threads": 2}
    expected = train_until(text, tmp_path / "whole.safetensors", settings)
    train_until(text, tmp_path / "parts.safetensors", settings, 4)
    np.testing.assert_array_equal(train_until(text, tmp_path / "parts.safetensors", {}, resume=True), expected)


def test_state_of_earlier_version_is_resumed_exactly_and_replaced(text: Path, tmp_path: Path, stopped: Path) -> None:
    expected = train_until(text, tmp_path / "whole.safetensors", TINY | {"steps": 30})
    old, new = tmp_path / "m.resume.safetensors", tmp_path / "m.resume"
    new.rename(old)
    with pytest.raises(ModelExistsError, match="`resume=True` continues its run"):
        charlm.train(text, stopped, steps=30, **TINY)
    train_until(text, stopped, {}, 20, resume=True)
    assert (old.exists(), new.exists()) == (False, True)
    np.testing.assert_array_equal(train_until(text, stopped, {}, resume=True), expected)
    assert (old.exists(), new.exists()) == (False, False)


def test_model_with_name_of_earlier_state_is_kept(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "m.resume.safetensors"
    charlm.train(text, other, steps=2, **TINY)
    before = other.read_bytes()
    charlm.train(text, tmp_path / "m.safetensors", steps=2, **TINY)
    charlm.train(text, tmp_path / "m.safetensors", steps=2, overwrite=True, **TINY)
    assert other.read_bytes() == before


def test_overwriting_run_deletes_state_of_earlier_version(text: Path, tmp_path: Path, stopped: Path) -> None:
    (tmp_path / "m.resume").rename(tmp_path / "m.resume.safetensors")
    charlm.train(text, stopped, steps=2, overwrite=True, **TINY)
    assert not (tmp_path / "m.resume.safetensors").exists()


def test_resume_with_given_budget_replaces_old_budget(text: Path, stopped: Path) -> None:
    model = charlm.train(text, stopped, resume=True, epochs=2.0)
    settings = model.training.settings
    assert (settings["epochs"], settings["steps"], settings["minutes"]) == (2.0, None, None)


def test_resume_reports_where_it_continues(text: Path, stopped: Path) -> None:
    events: list[Event] = []
    with Run([text], stopped, None, RunOptions(resume=True), events.append) as run:
        assert [event.message for event in events] == ["resumed after step 12, 40% of 30 steps"]
        assert run.model.score("the fox").log_prob == charlm.load(stopped).score("the fox").log_prob


def test_resume_without_better_model_keeps_best_model(text: Path, stopped: Path) -> None:
    arrays, facts = read_state(stopped.with_name("m.resume"))
    facts["trainer"]["best_loss"] = 0.001
    write_state(stopped.with_name("m.resume"), arrays, facts)
    before = stopped.read_bytes()
    model = charlm.train(text, stopped, resume=True)
    assert stopped.read_bytes() == before
    assert model.score("the fox").log_prob == charlm.load(stopped).score("the fox").log_prob


@pytest.mark.parametrize("missing", [False, True])
def test_resume_ignores_model_of_other_text(text: Path, tmp_path: Path, stopped: Path, missing: bool) -> None:
    """Even if it has more steps and a lower loss, and whether or not the state is that of the best model."""
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("ab" * 500)
    charlm.train(foreign, stopped, overwrite=True, steps=40, **TINY)
    assert charlm.load(stopped).training.valid_loss < 1
    state = stopped.with_name("m.resume")
    assert not state.exists()
    train_until(text, tmp_path / "own.safetensors", TINY | {"steps": 30}, 11)
    arrays, facts = read_state(tmp_path / "own.resume")
    if missing:
        facts["trainer"]["model_step"] = 9
    write_state(state, arrays, facts)
    events: list[Event] = []
    with Run([text], stopped, None, RunOptions(resume=True), events.append) as run:
        assert run.model.training.digest == run.setup.corpus.source.digest
        assert run.trainer.best_loss > 1
        assert sum("the best model of this run is missing" in event.message for event in events) == missing
        list(run.reports())
    assert charlm.load(stopped).training.digest == run.setup.corpus.source.digest


def test_resume_without_held_out_text_writes_missing_model(text: Path, tmp_path: Path) -> None:
    """A run without evaluations is killed between writing the state and the model."""
    path = tmp_path / "m.safetensors"
    train_until(text, path, TINY | {"steps": 30, "valid": 0.0}, 11)
    before = path.read_bytes()
    path.unlink()
    with Run([text], path, None, RunOptions(resume=True)):
        assert path.read_bytes() == before


def test_resume_writes_missing_model(text: Path, stopped: Path) -> None:
    stopped.unlink()
    charlm.train(text, stopped, resume=True)
    assert charlm.load(stopped).training.steps > 12


@pytest.mark.parametrize(
    ("settings", "config", "says"),
    [
        ({"hidden": 9}, None, "has `hidden` 8, not 9"),
        ({"learning_rate": 0.5}, None, r"has `learning_rate` 0\.\d+, not 0\.5"),
        ({"cell": "rnn"}, None, "has `cell` lstm, not rnn"),
        ({"seed": 1}, None, "has `seed` 0, not 1"),
        ({"size": "tiny"}, None, "has `hidden` 8, not 64"),
        ({}, TextConfig(lines=True), "has `lines` False, not True"),
        ({}, TextConfig(min_count=3), "has `min_count` None, not 3"),
        ({"steps": 12}, None, "used up its budget of 12 steps"),
    ],
)
def test_resume_with_other_setting_is_refused(
    text: Path, stopped: Path, settings: dict[str, Any], config: TextConfig | None, says: str
) -> None:
    files = {path: path.read_bytes() for path in stopped.parent.iterdir()}
    with pytest.raises(ResumeError, match=says):
        train_until(text, stopped, settings, resume=True, text=config)
    assert {path: path.read_bytes() for path in stopped.parent.iterdir()} == files


def test_resume_after_early_stop_needs_other_patience(text: Path, stopped: Path) -> None:
    path = stopped.with_name("m.resume")
    arrays, facts = read_state(path)
    facts["trainer"]["stale"], facts["train"]["patience"] = 4, 4
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match="`patience=0` continues it"):
        train_until(text, stopped, {}, resume=True)
    with Run([text], stopped, {"patience": 0}, RunOptions(resume=True)) as run:
        assert run.setup.train.patience == 0


OTHER: dict[str, Any] = {
    "cell": "gru", "hidden": 9, "layers": 1, "dropout": 0.3, "recurrent_dropout": 0.1, "bidirectional": True,
    "batch": 5, "bptt": 11, "learning_rate": 0.5, "warmup": 0.5, "final_rate": 0.5, "optimizer": "sgd", "clip": 0.5,
    "average": 0.5, "restart_rate": 0.5, "valid": 0.25, "held_out": "end", "seed": 1,
    "ensemble": 2, "tied": True,
}  # fmt: skip
"""Settings that cannot change, with values other than those of the stopped run."""
FREE = {"epochs": 2.0, "steps": 99, "minutes": 3.0, "patience": 5, "threads": 3}
"""Settings that a resumed run may change."""


def test_every_setting_is_changeable_or_fixed() -> None:
    names = {field.name for kind in (NetworkConfig, TrainConfig) for field in fields(kind)}
    names -= {"outputs", "conditions", "encoder_decoder"}  # they follow from the text and the task
    assert OTHER.keys() | FREE.keys() == names


@pytest.mark.parametrize("name", OTHER)
def test_fixed_setting_with_other_value_is_refused(stopped: Path, name: str) -> None:
    saved = SavedRun.read(stopped.with_name("m.resume"))
    own = (asdict(saved.network) | asdict(saved.train))[name]
    assert saved.settings({name: own})[name] == own
    with pytest.raises(ResumeError, match=f"the run to resume has `{name}` {own}, not {OTHER[name]}"):
        saved.settings({name: OTHER[name]})


@pytest.mark.parametrize("name", FREE)
def test_changeable_setting_with_other_value_is_accepted(stopped: Path, name: str) -> None:
    settings = SavedRun.read(stopped.with_name("m.resume")).settings({name: FREE[name]})
    assert settings[name] == FREE[name]


def test_resume_with_other_text_is_refused(text: Path, stopped: Path) -> None:
    text.write_text(VERSE * 21)
    with pytest.raises(ResumeError, match=r"the text is not the one .*its length in tokens was 1160, is 1218"):
        train_until(text, stopped, {}, resume=True)


def test_resume_with_other_text_of_same_length_is_refused(text: Path, stopped: Path) -> None:
    """Two words are swapped: only the digest differs."""
    text.write_text(VERSE * 19 + VERSE.replace("quick brown", "brown quick"))
    with pytest.raises(ResumeError, match=r"has learned from \(its SHA-256 was \w+, is \w+\)"):
        train_until(text, stopped, {}, resume=True)


def test_resume_without_state_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="no run to resume"):
        charlm.train(text, tmp_path / "m.safetensors", steps=1, resume=True)


@pytest.mark.parametrize("window", [11, 13])
def test_state_at_wrong_text_position_is_refused(text: Path, stopped: Path, window: int) -> None:
    path = stopped.with_name("m.resume")
    arrays, facts = read_state(path)
    assert facts["trainer"]["cursor"]["window"] == facts["trainer"]["step"] == 12
    facts["trainer"]["cursor"]["window"] = window
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match="its position in the text is not that of its step"):
        train_until(text, stopped, {}, resume=True)


@pytest.mark.parametrize("lost", ["network", "train", "text", "corpus", "trainer", "cursor", "array", "shape", "range"])
def test_incomplete_state_is_refused(text: Path, stopped: Path, lost: str) -> None:
    path = stopped.with_name("m.resume")
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
    with pytest.raises(ResumeError, match=r"m\.resume: not the state of a run"):
        train_until(text, stopped, {}, resume=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("array", ["params", "moment.mean"])
def test_state_with_invalid_values_is_refused(text: Path, stopped: Path, array: str, value: float) -> None:
    path = stopped.with_name("m.resume")
    arrays, facts = read_state(path)
    arrays[array] = arrays[array].copy()
    arrays[array][3] = value
    write_state(path, arrays, facts)
    with pytest.raises(ResumeError, match=rf"array {array} has a value that is not finite or too large"):
        train_until(text, stopped, {}, resume=True)


def test_damaged_state_is_refused(text: Path, stopped: Path) -> None:
    path = stopped.with_name("m.resume")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"m\.resume"):
        train_until(text, stopped, {}, resume=True)
