"""Runs of pairs: they learn, resume to the bit, mix members, and write models that load; wrong settings are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import charlm
from charlm.config import EngineConfig, TextConfig
from charlm.errors import ConfigError, CorpusError, ResumeError
from charlm.nn.cells import CELLS
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from tests.runs.test_labelled_runs import train_until

TINY: dict[str, Any] = {"hidden": 8, "batch": 4, "threads": 1, "dropout": 0.2, "recurrent_dropout": 0.1, "patience": 0}
PAIRS = TextConfig(task="pairs")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Write words with their letters reversed, in capitals."""
    words = [a + b + c for a in "abc" for b in "abcd" for c in ("", "d", "ca")]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{word}\t{word[::-1].upper()}\n" for word in words))
    return path


@pytest.mark.parametrize("cell", CELLS)
def test_resume_is_exact(pairs: Path, tmp_path: Path, cell: str) -> None:
    settings = TINY | {"cell": cell, "steps": 16, "seed": 5}
    expected = train_until(pairs, tmp_path / "whole.safetensors", settings, text=PAIRS)
    train_until(pairs, tmp_path / "parts.safetensors", settings, 7, text=PAIRS)
    np.testing.assert_array_equal(train_until(pairs, tmp_path / "parts.safetensors", {}, resume=True), expected)
    whole, parts = (charlm.load(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole.params.flat, parts.params.flat)
    assert whole.labels == parts.labels
    assert whole.labels[0] == ""


def test_resume_of_an_ensemble_is_exact(pairs: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 8, "ensemble": 2}
    expected = train_until(pairs, tmp_path / "whole.safetensors", settings, text=PAIRS)
    train_until(pairs, tmp_path / "parts.safetensors", settings, 3, text=PAIRS)
    np.testing.assert_array_equal(train_until(pairs, tmp_path / "parts.safetensors", {}, resume=True), expected)
    model = charlm.load(tmp_path / "parts.safetensors")
    assert len(model.members) == 2
    assert model.translate("ab").probability > 0


def test_gradient_does_not_depend_on_threads(pairs: Path, tmp_path: Path) -> None:
    settings = TINY | {"steps": 3, "dropout": 0.0, "recurrent_dropout": 0.0}
    one = train_until(pairs, tmp_path / "one.safetensors", settings, text=PAIRS)
    two = train_until(pairs, tmp_path / "two.safetensors", settings | {"threads": 2}, text=PAIRS)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_trained_model_translates_what_it_has_read(pairs: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    settings = TINY | {"hidden": 32, "steps": 400, "dropout": 0.0, "recurrent_dropout": 0.0, "learning_rate": 0.02}
    model = charlm.train(pairs, path, task="pairs", valid=0.1, **settings)
    assert model.training.valid_loss is not None
    assert model.training.valid_loss < 0.5
    loaded = charlm.load(path)
    rows = [line.split("\t") for line in pairs.read_text().splitlines()]
    found = [one.target for one in loaded.translate_each(source for source, _ in rows)]
    right = sum(target == own for target, (_, own) in zip(found, rows, strict=True))
    assert right >= 0.9 * len(rows)
    shapes = {name: tensor.shape for name, tensor in load_file(path).items()}
    outputs, tokens = len(loaded.labels), len(loaded.vocabulary)
    assert shapes["encoder.weight_ih_l0"] == (128, tokens)
    assert shapes["decoder.weight_ih_l0"] == (128, outputs)
    assert shapes["head.weight"] == (outputs, 64)
    assert {name.split(".")[0] for name in shapes} == {"encoder", "decoder", "head"}
    assert "pairs, 5 labels" in repr(loaded)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bidirectional": True}, "`bidirectional` is True, which this task does not have"),
        ({"tied": True}, "`tied` is True, which this task does not have"),
        ({"unit": "word"}, "the task 'pairs' reads characters; leave `unit` out"),
        ({"remove": "marks"}, "`remove` is a setting of the task 'restore'"),
        ({"task": "tag", "target_unit": "symbol"}, "`target_unit` is a setting of the task 'pairs'"),
        ({"task": "language", "target_unit": "symbol"}, "`target_unit` is a setting of the task 'pairs'"),
        ({"target_unit": "word"}, "`target_unit` is 'word'; expected one of char, symbol"),
    ],
)
def test_setting_that_does_not_fit_is_refused(
    pairs: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        charlm.train(pairs, tmp_path / "m", **{"task": "pairs", "steps": 1, **settings})


def test_pytorch_is_refused(pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = RunOptions(PAIRS, EngineConfig("torch"))
    with pytest.raises(ConfigError, match="only NumPy trains a network of encoder and decoder; leave `engine` out"):
        Run([pairs], tmp_path / "m", {"steps": 1}, options).__enter__()


def test_file_without_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("no tabs here\n")
    with pytest.raises(CorpusError, match=r"text\.txt: line 1 has no tab; expected: source TAB target"):
        charlm.train(path, tmp_path / "m", task="pairs", steps=1)
    assert list(tmp_path.iterdir()) == [path]


def test_resume_with_another_unit_of_targets_is_refused(pairs: Path, tmp_path: Path) -> None:
    train_until(pairs, tmp_path / "m", TINY | {"steps": 9}, 3, text=PAIRS)
    with pytest.raises(ResumeError, match="`target_unit` char, not symbol"):
        Run([pairs], tmp_path / "m", {}, RunOptions(TextConfig(target_unit="symbol"), resume=True)).__enter__()


def test_single_pair_is_learned(tmp_path: Path) -> None:
    path = tmp_path / "pair.tsv"
    path.write_text("ab\tx\n")
    model = charlm.train(path, tmp_path / "m", task="pairs", steps=30, valid=0, **(TINY | {"learning_rate": 0.1}))
    assert model.translate("ab").target == "x"
