"""Runs of the tasks: they learn, resume to the bit, and write models that load; unsuitable settings are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import EngineConfig, TextConfig
from charlm.errors import CharlmError, CheckpointError, ConfigError, CorpusError, ResumeError
from charlm.nn.cells import CELLS
from charlm.runs.resume import SavedRun
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions

VERSE = "Příliš žluťoučký kůň.\nPěl ďábelské ódy, a byl tu.\n"
TINY: dict[str, Any] = {"hidden": 8, "batch": 4, "bptt": 24, "threads": 1, "dropout": 0.2, "patience": 0}
RESTORE = TextConfig(task="restore", remove="marks,case,punctuation")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20, encoding="utf-8")
    return path


def train_until(
    path: Path, model: Path, settings: dict[str, Any], stop_at: int | None = None, *, resume: bool = False,
    text: TextConfig = RESTORE,
) -> np.ndarray:  # fmt: skip
    """Train, stop after a given step, and return the parameters at the end."""
    text = TextConfig() if resume else text
    with Run([path], model, settings, RunOptions(text, resume=resume)) as run:
        for report in run.reports():
            if report.step == stop_at:
                run.stop()
        weights = run.trainer.learner.weights(1.0)
        return np.concatenate([params.flat for params in weights])


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_resume_is_exact(text: Path, tmp_path: Path, cell: str, lines: bool) -> None:
    settings = TINY | {"cell": cell, "steps": 16, "seed": 5}
    config = TextConfig(task="restore", remove="marks,spaces", lines=lines)
    expected = train_until(text, tmp_path / "whole.safetensors", settings, text=config)
    train_until(text, tmp_path / "parts.safetensors", settings, 7, text=config)
    np.testing.assert_array_equal(train_until(text, tmp_path / "parts.safetensors", {}, resume=True), expected)
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole.params.flat, parts.params.flat)
    assert whole.labels == parts.labels


def test_model_remembers_the_forms_of_the_training_part(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Byl byt a být.\n" * 90 + "Konec dům.\n" * 10, encoding="utf-8")
    settings = TINY | {"steps": 3, "held_out": "end", "valid": 0.05}
    for model, stop_at, resume in (("whole", None, False), ("parts", 1, False), ("parts", None, True)):
        config = TextConfig(task="restore", remove="marks")
        train_until(
            path, tmp_path / f"{model}.safetensors", {} if resume else settings, stop_at, text=config, resume=resume
        )
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert whole.training.forms == parts.training.forms
    assert {form: whole.training.forms[form] for form in ("byl", "byt", "být")} == dict.fromkeys(
        ("byl", "byt", "být"), 90
    )
    assert 0 < whole.training.forms["dům"] < 10


def test_text_without_spaces_has_no_forms(text: Path, tmp_path: Path) -> None:
    config = TextConfig(task="restore", remove="marks,spaces")
    train_until(text, tmp_path / "m.safetensors", TINY | {"steps": 1}, text=config)
    assert charlm.load(tmp_path / "m.safetensors").training.forms == {}


@pytest.mark.parametrize("settings", [{"cell": "lstm", "layers": 2}, {"cell": "gru", "ensemble": 2}])
def test_resume_of_texts_with_labels_is_exact(tmp_path: Path, settings: dict[str, Any]) -> None:
    rows, config = tmp_path / "rows.tsv", TextConfig(task="conditional")
    rows.write_text("".join(f"{'xyx'[n % 3]}\t{'ab cd'[n % 4 :]}{n}\n" for n in range(100)))
    settings = TINY | settings | {"steps": 12, "recurrent_dropout": 0.2}
    expected = train_until(rows, tmp_path / "whole.safetensors", settings, text=config)
    train_until(rows, tmp_path / "parts.safetensors", settings, 5, text=config)
    np.testing.assert_array_equal(train_until(rows, tmp_path / "parts.safetensors", {}, resume=True), expected)
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    assert whole.labels == parts.labels == ("x", "y")
    assert whole.training.label_counts == parts.training.label_counts
    assert whole.priors == parts.priors
    assert whole.score("abab") == parts.score("abab")


def test_gradient_of_texts_with_labels_does_not_depend_on_threads(tmp_path: Path) -> None:
    rows, config = tmp_path / "rows.tsv", TextConfig(task="conditional")
    rows.write_text("".join(f"{'xyx'[n % 3]}\t{'ab cd'[n % 4 :]}{n}\n" for n in range(100)))
    settings = TINY | {"steps": 3, "dropout": 0.0}
    one = train_until(rows, tmp_path / "one.safetensors", settings, text=config)
    two = train_until(rows, tmp_path / "two.safetensors", settings | {"threads": 2}, text=config)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_resume_of_an_ensemble_is_exact(text: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 8, "ensemble": 2}
    expected = train_until(text, tmp_path / "whole.safetensors", settings)
    train_until(text, tmp_path / "parts.safetensors", settings, 3)
    np.testing.assert_array_equal(train_until(text, tmp_path / "parts.safetensors", {}, resume=True), expected)
    assert len(charlm.load(tmp_path / "parts.safetensors").members) == 2


def test_gradient_does_not_depend_on_threads(text: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 3, "dropout": 0.0}
    one = train_until(text, tmp_path / "one.safetensors", settings)
    two = train_until(text, tmp_path / "two.safetensors", settings | {"threads": 2})
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_trained_model_restores_what_it_has_read(text: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    settings = TINY | {"hidden": 32, "steps": 220, "dropout": 0.0, "learning_rate": 0.02}
    model = charlm.train(text, path, task="restore", remove="marks,case,punctuation", **settings)
    assert model.training.valid_loss is not None
    assert model.training.valid_loss < 0.2
    loaded = charlm.load(path)
    assert loaded.restore("prilis zlutoucky kun\npel dabelske ody a byl tu\n" * 4) == VERSE * 4
    assert (loaded.text, loaded.labels) == (model.text, model.labels)
    assert loaded.config.outputs == len(loaded.labels)
    assert {name.partition(".")[0] for name in loaded.params} == {"rnn", "reverse", "head"}


@pytest.mark.parametrize(
    ("settings", "text_settings", "message"),
    [
        ({}, {"task": "restore"}, "needs `remove`, such as `remove=marks`"),
        ({}, {"task": "restore", "remove": "vowels"}, "`remove` is 'vowels'; expected one or more of marks"),
        ({}, {"remove": "marks"}, "`remove` is a setting of the task 'restore'"),
        ({}, {"task": "translate"}, "`task` is 'translate'; expected one of language, restore"),
        ({}, {"task": "restore", "remove": "marks", "unit": "word"}, "reads characters; leave `unit` out"),
        ({"bidirectional": False}, {"task": "restore", "remove": "marks"}, "`bidirectional` is False"),
        ({"bidirectional": True}, {"task": "conditional"}, "`bidirectional` is True, which this task does not have"),
        ({"tied": True}, {"task": "conditional"}, "`tied` is True, which this task does not have"),
        ({}, {"task": "conditional", "unit": "word"}, "reads characters; leave `unit` out"),
    ],
)
def test_unsuitable_settings_are_refused(
    text: Path, tmp_path: Path, settings: dict[str, Any], text_settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        charlm.train(text, tmp_path / "m.safetensors", steps=1, **settings, **text_settings)
    assert message in str(refused.value)
    assert not (tmp_path / "m.safetensors").exists()


def test_other_labels_of_another_task_cannot_be_resumed(text: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    train_until(text, model, TINY | {"steps": 9}, 3)
    with pytest.raises(ResumeError, match="the run to resume has `remove` marks,case,punctuation, not marks"):
        charlm.train(text, model, resume=True, task="restore", remove="marks")


def test_engine_of_pytorch_is_refused_with_the_reason(text: Path, tmp_path: Path) -> None:
    options = RunOptions(RESTORE, EngineConfig("torch"))
    with pytest.raises(CharlmError, match=r"only NumPy trains a `bidirectional` network|PyTorch is not installed"):
        Run([text], tmp_path / "m.safetensors", {"steps": 1}, options).__enter__()


def test_fine_tuning_is_refused(text: Path, tmp_path: Path) -> None:
    charlm.train(text, tmp_path / "language.safetensors", steps=1, **TINY)
    with pytest.raises(ConfigError, match="`init_from` starts from a language model"):
        charlm.train(
            text, tmp_path / "m.safetensors", steps=1, task="restore", remove="marks",
            init_from=tmp_path / "language.safetensors",
        )  # fmt: skip


def test_text_in_which_nothing_is_removed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_text("plain text\n" * 50)
    with pytest.raises(CorpusError, match="the training text has 1 label; there is something to learn from 2"):
        charlm.train(path, tmp_path / "m.safetensors", task="restore", remove="marks", steps=2, **TINY)


@pytest.mark.parametrize("change", ["task", "remove", "labels", "bidirectional"])
def test_model_file_whose_task_does_not_fit_is_refused(text: Path, tmp_path: Path, change: str) -> None:
    path = tmp_path / "m.safetensors"
    model = charlm.train(text, path, task="restore", remove="marks", steps=1, **TINY)
    if change == "labels":
        model.labels = ("no label", *model.labels[1:])
    else:
        model.text = TextConfig(task={"task": "paint"}.get(change, "language"), remove="vowels")
    model.save(path, overwrite=True)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: "):
        charlm.load(path)


def test_resumed_run_keeps_the_numbers_of_its_labels(text: Path, tmp_path: Path) -> None:
    """A version that sorts labels in another way must not change the meaning of the outputs."""
    model = tmp_path / "m.safetensors"
    train_until(text, model, TINY | {"steps": 9}, 3)
    saved = SavedRun.read(tmp_path / "m.resume")
    labels = saved.labels[::-1]
    replace(saved, labels=labels).write()
    with Run([text], model, {}, RunOptions(resume=True)) as run:
        assert run.setup.corpus.labels == labels
        assert run.current_model().labels == labels
