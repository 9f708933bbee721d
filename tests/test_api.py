"""The public Python API and the cost of importing it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import charlm
from charlm.config import TextConfig

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two texts."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "verse.txt").write_text(VERSE * 20)
    (folder / "digits.txt").write_text("0123456789\n" * 50)
    return folder


@pytest.mark.parametrize("statement", ["import charlm", "import charlm; charlm.__version__", "from charlm import cli"])
def test_import_loads_no_heavy_package(statement: str) -> None:
    heavy = ("numpy", "safetensors", "tqdm", "torch")
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_model_loads_no_module_of_other_tasks() -> None:
    unused = ("charlm.infilling", "charlm.diagnostics", "charlm.training", "charlm.engines", "charlm.text.corpus")
    code = f"import sys, charlm.model; print([name for name in {unused} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_exist_and_have_docstrings() -> None:
    for name in charlm.__all__:
        found = getattr(charlm, name)
        if name != "__version__":
            assert inspect.getdoc(found), name
            assert found.__module__.startswith("charlm."), name
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        _ = charlm.transformer


def test_train_returns_a_model_that_scores_samples_and_loads(texts: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = charlm.train(texts / "verse.txt", path, steps=150, hidden=24, batch=4, dropout=0.0, threads=1)
    assert isinstance(model, charlm.LanguageModel)
    assert model.score("the lazy dog").log_prob > model.score("the dogy laz").log_prob
    text = "".join(model.stream("the", temperature=0.5, length=40, seed=1))
    assert len(text) == 40
    assert model.sample("the", temperature=0.5, length=40, seed=1)[0].text == text
    assert charlm.load(path).score("the fox").log_prob == model.score("the fox").log_prob
    best = charlm.rank([model.score("zzz"), model.score("the")])[0]
    assert best[1].text == "the"


def test_train_accepts_several_texts_as_str_and_path(texts: Path, tmp_path: Path) -> None:
    paths = [texts / "verse.txt", str(texts / "digits.txt")]
    model = charlm.train(paths, str(tmp_path / "m.safetensors"), steps=2, hidden=8, threads=1)
    assert model.training.sources == tuple(str(path) for path in paths)
    assert model.score("fox 42").unknown == 0


def test_train_takes_the_settings_of_the_command(texts: Path, tmp_path: Path) -> None:
    model = charlm.train(
        texts / "verse.txt", tmp_path / "m.safetensors", text=TextConfig(lines=True, min_count=2),
        cell="gru", hidden=8, layers=2, steps=3, optimizer="sgd", learning_rate=0.1, valid=0.2, seed=5, threads=1,
    )  # fmt: skip
    assert (model.config.cell, model.config.hidden, model.config.layers) == ("gru", 8, 2)
    assert model.text == TextConfig(lines=True, min_count=2)
    settings = model.training.settings
    assert (settings["optimizer"], settings["learning_rate"], settings["valid"]) == ("sgd", 0.1, 0.2)


def test_errors_of_the_api_are_charlm_errors(texts: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    with pytest.raises(charlm.CharlmError, match="no such file"):
        charlm.train(tmp_path / "nowhere.txt", model)
    with pytest.raises(charlm.CharlmError, match="hiden: no such setting"):
        charlm.train(texts / "verse.txt", model, hiden=8)
    with pytest.raises(charlm.CharlmError, match="one of lstm"):
        charlm.train(texts / "verse.txt", model, cell="brain", steps=1)
    with pytest.raises(charlm.CharlmError, match="no such file"):
        charlm.load(model)
    assert not model.exists()
