"""The public Python API and the cost of importing it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import charlm
from charlm import config, settings
from charlm.config import EngineConfig, NetworkConfig, SampleConfig, TextConfig, TrainConfig
from charlm.errors import ConfigError
from charlm.runs.setup import RunOptions

ROOT = Path(__file__).parents[1]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of Python on a page."""
PAGES = [ROOT / "README.md", *ROOT.glob("docs/how-to/*.md")]
PROGRAMS = {page.name: "".join(PYTHON.findall(page.read_text(encoding="utf-8"))) for page in PAGES}
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
        if name not in ("__version__", "errors"):
            assert inspect.getdoc(found), name
            assert found.__module__.startswith("charlm."), name
    with pytest.raises(AttributeError, match="no attribute 'transformer'"):
        _ = charlm.transformer


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_dir_shows_the_public_names_alone() -> None:
    done = run_python("import charlm; print(*(name for name in dir(charlm) if not name.startswith('_')))")
    assert sorted(done.stdout.split()) == sorted(set(charlm.__all__) - {"__version__"})


def test_help_of_the_package_shows_functions_and_classes() -> None:
    page = re.sub(r"\(\s+", "(", run_python("import charlm; help(charlm)").stdout)  # Python 3.13 breaks signatures
    for name in ("train(paths", "load(path", "class LanguageModel", "minutes: float | None = None"):
        assert name in page, name


def test_wrong_name_of_the_package_gets_the_right_one_in_the_traceback() -> None:
    assert "Did you mean: 'train'?" in run_python("import charlm; charlm.trian").stderr


@pytest.mark.parametrize(
    ("keywords", "dataclass", "extra"),
    [
        (settings.TextSettings, TextConfig, set()),
        (settings.NetworkSettings, NetworkConfig, {"size"}),
        (settings.TrainSettings, TrainConfig, set()),
        (settings.EngineSettings, EngineConfig, set()),
        (settings.RunSettings, RunOptions, set()),
        (settings.SampleSettings, SampleConfig, set()),
    ],
)
def test_typed_keywords_equal_the_fields_of_the_dataclass(keywords: type, dataclass: type, extra: set[str]) -> None:
    of_train = {"name", "text", "engine"}
    of_the_text = {"outputs", "encoder_decoder", "conditions"}
    names = {field.name for field in fields(dataclass)}
    assert keywords.__annotations__.keys() == names - of_train - of_the_text | extra


def test_choices_of_typed_keywords_equal_those_of_the_settings() -> None:
    hints = get_type_hints(settings.TrainKeywords)
    choices = {
        name: tuple(choice for one in get_args(hint) for choice in (get_args(one) or [one]) if isinstance(choice, str))
        for name, hint in hints.items()
    }
    assert {name: found for name, found in choices.items() if found} == {
        "unit": config.UNITS, "errors": config.DECODING_ERRORS, "normalize": config.NORMALIZATIONS,
        "target_unit": config.TARGET_UNITS,
        "size": config.SIZES, "held_out": config.HELD_OUT, "device": config.DEVICES, "precision": config.PRECISIONS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (charlm.train, {"lines": False, "minutes": None, "device": "auto", "overwrite": False, "size": None}),
        (charlm.LanguageModel.sample, {"temperature": SampleConfig.temperature, "top_p": 1.0, "stop": None}),
        (charlm.LanguageModel.sample_each, {"temperature": SampleConfig.temperature, "length": 1000}),
        (charlm.LanguageModel.stream, {"temperature": SampleConfig.temperature, "length": 1000}),
    ],
)
def test_signature_and_docstring_show_each_setting(function: Callable[..., Any], expected: Mapping[str, Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected
    assert all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in expected.keys() - {"size"}:
        assert re.search(rf"^{name} : ", inspect.getdoc(function) or "", re.MULTILINE), name


def mypy_errors(tmp_path: Path, code: str) -> dict[int, str]:
    """Return the errors of `mypy --strict` in a program that uses charlm, by their lines."""
    pytest.importorskip("mypy")
    client = tmp_path / "client.py"
    client.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary",
         f"--cache-dir={tmp_path.parent / 'mypy_cache'}", client.name],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stderr == ""
    found = re.findall(r"^client\.py:(\d+): error: (.*)", done.stdout, re.MULTILINE)
    return {int(number): message for number, message in found}


@pytest.mark.parametrize("page", sorted(page for page, code in PROGRAMS.items() if code and "torch\n" not in code))
def test_python_of_a_page_passes_a_type_checker(page: str, tmp_path: Path) -> None:
    assert "import charlm" in PROGRAMS[page]
    assert mypy_errors(tmp_path, PROGRAMS[page]) == {}


def test_type_checker_accepts_a_client_and_finds_its_mistakes(tmp_path: Path) -> None:
    lines = {
        "import charlm": "",
        "model = charlm.train('a.txt', lines=True, minutes=2, progress=True, engine='torch', device='cuda')": "",
        "text: str = model.sample('x', n=3, temperature=0.5, top_p=0.9)[0].text": "",
        "loss: float | None = model.training.valid_loss": "",
        "total: float = model.score(text).bits_per_char": "",
        "charlm.train('a.txt', minuts=2)": 'did you mean "minutes"',
        "charlm.train('a.txt', minutes='2')": 'expected "float | None"',
        "charlm.train('a.txt', unit='letter')": "Literal['char', 'word']",
        "model.sample(temprature=1)": 'did you mean "temperature"',
    }
    errors = mypy_errors(tmp_path, "\n".join(lines))
    expected = {number: says for number, says in enumerate(lines.values(), 1) if says}
    assert errors.keys() == expected.keys(), errors
    for number, says in expected.items():
        assert says in errors[number]


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


def test_settings_of_the_text_are_keywords_and_override_a_config(texts: Path, tmp_path: Path) -> None:
    verse, path = texts / "verse.txt", tmp_path / "m.safetensors"
    model = charlm.train(verse, path, lines=True, unit="word", normalize="NFC", steps=1, hidden=4, threads=1)
    assert model.text == TextConfig(lines=True, unit="word", normalize="NFC")
    text = TextConfig(lines=True, normalize="NFKC", min_count=3)
    model = charlm.train(verse, path, text=text, normalize="NFC", steps=1, hidden=4, threads=1, overwrite=True)
    assert model.text == TextConfig(lines=True, normalize="NFC", min_count=3)


def test_engine_is_a_name_or_a_config(texts: Path, tmp_path: Path) -> None:
    verse, path = texts / "verse.txt", tmp_path / "m.safetensors"
    for engine in ("numpy", EngineConfig()):
        charlm.train(verse, path, engine=engine, steps=1, hidden=4, threads=1, overwrite=True)  # type: ignore[arg-type]
    for refused in ({"device": "cpu"}, {"engine": EngineConfig(), "precision": "bfloat16"}):
        with pytest.raises(ConfigError, match='pass `engine="torch"`'):
            charlm.train(verse, path, **refused)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"`engine` is 'jax'; expected one of numpy, torch$"):
        charlm.train(verse, path, engine="jax")  # type: ignore[arg-type]


def test_wrong_choice_is_answered_with_the_most_similar_one(texts: Path, tmp_path: Path) -> None:
    for wrong, similar in (({"cell": "LTSM"}, "lstm"), ({"unit": "words"}, "word"), ({"normalize": "nfc"}, "NFC")):
        with pytest.raises(ConfigError, match=rf"; did you mean {similar}\?$"):
            charlm.train(texts / "verse.txt", tmp_path / "m.safetensors", **wrong)  # type: ignore[arg-type]


def test_progress_goes_to_stderr(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verse, path = texts / "verse.txt", tmp_path / "m.safetensors"
    charlm.train(verse, path, progress=True, steps=20, hidden=4, threads=1)
    printed = capsys.readouterr()
    assert printed.out == ""
    for expected in ("lstm 4x1", "100%", f"wrote {path}"):
        assert expected in printed.err
    charlm.train(verse, path, steps=2, hidden=4, threads=1, overwrite=True)
    assert capsys.readouterr() == ("", "")


def test_progress_is_loaded_when_it_is_asked_for(texts: Path, tmp_path: Path) -> None:
    code = (
        f"import sys, charlm; charlm.train({str(texts / 'verse.txt')!r}, {str(tmp_path / 'm')!r}, steps=1, hidden=4, "
        "threads=1); print([name for name in ('tqdm', 'click') if name in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_numbers_of_numpy_are_settings(texts: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = charlm.train(
        texts / "verse.txt", path, hidden=np.int64(4), steps=np.int32(1), dropout=np.float32(0.5), seed=np.uint8(3)
    )  # type: ignore[call-overload, unused-ignore]
    assert charlm.load(path).training.settings["seed"] == 3
    drawn = model.sample(n=np.int64(2), seed=np.int64(1), length=np.int64(5))  # type: ignore[arg-type]
    assert drawn == model.sample(n=2, seed=1, length=5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"hiden": 8}, "hiden: no such setting; did you mean hidden?"),
        ({"lr": 0.1}, "did you mean learning_rate?"),
        ({"line": True}, "did you mean lines?"),
        ({"qqq": 1}, "qqq: no such setting; the settings are unit, lines"),
        ({"name": "torch"}, "name: no such setting"),
        ({"lines": "yes"}, "`lines` is 'yes'; expected true or false"),
        ({"minutes": "2"}, "`minutes` is '2'; expected a number, more than 0"),
        ({"hidden": 1.5}, "`hidden` is 1.5; expected an integer, 1 to 65536"),
        ({"encoding": 8}, "`encoding` is 8; expected a string"),
        ({"text": True}, "`text` is True; expected a TextConfig"),
        ({"overwrite": 1}, "`overwrite` is 1; expected true or false"),
        ({"init_from": 5}, "`init_from` is 5; expected a path"),
        ({"progress": "bar"}, "`progress` is 'bar'; expected true or false"),
        ({"paths": 5}, "`paths` is 5; expected a path or a list of paths"),
        ({"paths": []}, "`paths` is []; expected a path"),
        ({"paths": ["a", 5]}, "expected a path or a list of paths"),
        ({"model": 5}, "`model` is 5; expected a path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_argument_of_train_is_explained(texts: Path, tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    arguments = {"paths": texts / "verse.txt", "model": tmp_path / "m.safetensors", **wrong}
    with pytest.raises(ConfigError, match=re.escape(says)):
        charlm.train(**arguments)


def test_errors_of_the_api_are_charlm_errors(texts: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    with pytest.raises(charlm.CharlmError, match="no such file"):
        charlm.train(tmp_path / "nowhere.txt", model)
    with pytest.raises(charlm.CharlmError, match="hiden: no such setting"):
        charlm.train(texts / "verse.txt", model, hiden=8)  # type: ignore[call-arg]
    with pytest.raises(charlm.CharlmError, match="one of lstm"):
        charlm.train(texts / "verse.txt", model, cell="brain", steps=1)
    with pytest.raises(charlm.CharlmError, match="no such file"):
        charlm.load(model)
    assert not model.exists()
