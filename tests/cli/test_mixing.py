"""Commands with several models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import charlm as package
from tests.cli.tiny import Terminal, make_model


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(tmp_path / "a.safetensors", tokens="abc \n")
    make_model(tmp_path / "b.safetensors", tokens="abd \n", seed=1)
    make_model(tmp_path / "lines.safetensors", tokens="abd", lines=True)
    return Terminal(capsys)


def mixture(*weights: float) -> package.Mixture:
    return package.Mixture([package.load("a.safetensors"), package.load("b.safetensors")], weights or None)


@pytest.mark.parametrize("models", ["-m a.safetensors -m b.safetensors", "-m a.safetensors b.safetensors",
                                    "-m [ab].safetensors"])  # fmt: skip
def test_score_of_several_models_is_that_of_the_mixture(charlm: Terminal, models: str) -> None:
    shown = charlm("score", *models.split(), "bad cab", "--json")
    assert json.loads(shown.out)["log_prob"] == pytest.approx(mixture().score("bad cab").log_prob)
    assert shown.err == ""


def test_sample_and_next_use_the_weights(charlm: Terminal) -> None:
    models = ["-m", "a.safetensors", "-m", "b.safetensors", "--weight", "3", "--weight", "1"]
    weighted = mixture(0.75, 0.25)
    assert (
        charlm("sample", *models, "--seed", 1, "--length", 30).out == weighted.sample(seed=1, length=30)[0].text + "\n"
    )
    found = json.loads(charlm("next", *models, "ab", "--json", "-k", 1).out.splitlines()[0])
    assert found["log_prob"] == pytest.approx(weighted.next("ab").characters[0].log_prob)


def test_fitted_weights_are_printed_and_used(charlm: Terminal) -> None:
    Path("sample.txt").write_text("bad cab " * 9)
    shown = charlm("score", "-m", "a.safetensors", "b.safetensors", "--fit", "sample.txt", "bad cab", "--json")
    fitted = mixture().fitted("bad cab " * 9)
    assert f"fitted weights: a {fitted.weights[0]:.3f}, b {fitted.weights[1]:.3f}" in shown.err
    assert json.loads(shown.out)["log_prob"] == pytest.approx(fitted.score("bad cab").log_prob)


def test_variable_names_one_model_with_any_path(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.safetensors").rename("a:b.safetensors")
    monkeypatch.setenv("CHARLM_MODEL", "a:b.safetensors")
    assert json.loads(charlm("next", "--json").out.splitlines()[0])["rank"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weight", "1"], "--weight is for several models"),
        (["--fit", "a.txt"], "--fit is for several models"),
        (["-m", "b.safetensors", "--weight", "1"], "1 weight for 2 models; give one weight for each model"),
        (["-m", "b.safetensors", "--weight", "1", "--weight", "-1"], "--weight is -1.0; expected 0 or more"),
        (["-m", "b.safetensors", "--weight", "1", "--weight", "1", "--fit", "a.txt"], "exclude each other"),
        (["-m", "lines.safetensors"], "models of lines and of running text cannot be mixed"),
        (["-m", "b.safetensors", "--adapt"], "--adapt takes one model; pass one -m"),
        (["-m", "b.safetensors", "--pseudo"], "--pseudo takes one model; pass one -m"),
    ],
)
def test_wrong_choice_of_models_is_refused(charlm: Terminal, arguments: list[str], message: str) -> None:
    assert message in charlm("score", "x", "-m", "a.safetensors", *arguments, code=2).err


@pytest.mark.parametrize(
    "command",
    [
        ["sample", "-p", "-"],
        ["sample", "--prompt-file", "-"],
        ["sample", "--prompts", "-"],
        ["score", "-"],
        ["score", "a", "--context", "-"],
        ["score", "--file", "-"],
        ["next", "-"],
        ["write", "draft.txt", "--plain"],
    ],
)
def test_weights_cannot_be_fitted_on_the_text_that_is_read(charlm: Terminal, command: list[str]) -> None:
    shown = charlm(*command, "-m", "a.safetensors", "-m", "b.safetensors", "--fit", "-", code=2)
    assert shown.err.splitlines()[-1] == (
        "Error: --fit and the command would both read standard input; name a file for --fit"
    )


def test_copies_are_found_by_the_lines_of_all_models(charlm: Terminal) -> None:
    shown = charlm("sample", "-m", "lines.safetensors", "-m", "lines.safetensors", "--novel", "-n", 2, code=2)
    assert "holds no hashes of training lines" in shown.err
