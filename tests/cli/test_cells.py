"""charlm cells: the ranked list, one cell over a text, and mistakes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.cli.tiny import Terminal, make_model

TEXT = "ab cd\na bcd\n" * 30


@pytest.fixture
def charlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model and a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    (tmp_path / "t.txt").write_text(TEXT)
    make_model(tmp_path / "charlm.safetensors")
    return Terminal(capsys)


def test_table_has_the_scores_of_the_python_api(charlm: Terminal, tmp_path: Path) -> None:
    shown = charlm("cells", "--file", "t.txt", "-k", 2)
    head, *rows = [re.split(r" {2,}", line.strip()) for line in shown.out.splitlines()]
    assert head == ["cell", "sign", "measure", "first half", "held-out", "character alone", "property"]
    scores = make_model(tmp_path / "same.safetensors").cells(TEXT, best=2)
    assert rows == [
        [f"{one.layer}.{one.cell}", "+" if one.sign > 0 else "-", one.measure.replace("auc", "AUC"),
         f"{one.chosen:.3f}", f"{one.held_out:.3f}", f"{one.baseline:.3f}", one.name]
        for one in scores
    ]  # fmt: skip
    assert shown.err.startswith("charlm: too rare in this text: inside quotes, inside brackets, ")


def test_long_text_is_cut_with_a_message(charlm: Terminal) -> None:
    shown = charlm("cells", "--file", "t.txt", "--limit", 120)
    assert "charlm: read the first 120 characters; --limit sets another number\n" in shown.err
    assert shown.out == charlm("cells", TEXT[:120]).out


def test_cell_is_a_table_without_colours(charlm: Terminal, tmp_path: Path) -> None:
    out = charlm("cells", "--cell", "0.4", "ab\nc").out
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    found = make_model(tmp_path / "same.safetensors").activations("ab\nc").cells[0, :, 4]
    assert [row["character"] for row in rows] == ["a", "b", "\\n", "c"]
    assert [float(row["activation"]) for row in rows] == pytest.approx(found.tolist(), abs=5e-5)


def test_coloured_cell_is_the_text_on_its_activations(charlm: Terminal, tmp_path: Path) -> None:
    out = charlm("cells", "--cell", "0.4", "--color", "ab\ncd").out
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert plain == "ab\ncd\nactivation of cell 0.4:  -1  -0.67  -0.33  0  0.33  0.67  1 \n"
    values = make_model(tmp_path / "same.safetensors").activations("ab\ncd").cells[0, :, 4]
    grounds = [int(found) for found in re.findall(r"48;5;(\d+)m", out.partition("activation")[0])]
    assert grounds == [(25, 67, 110, 0, 223, 215, 208)[int((v + 1) / 2 * 7)] for v in values if abs(v) > 1 / 7]


def test_unbounded_activations_have_their_own_scale(charlm: Terminal, tmp_path: Path) -> None:
    from charlm.config import NetworkConfig, TextConfig
    from charlm.model import LanguageModel
    from charlm.nn.network import Network

    small = make_model(tmp_path / "same.safetensors")
    network = Network(NetworkConfig("rnn-relu", 4, 1), len(small.vocabulary))
    params = network.parameters(small.params.flat[: network.size] * 0 + 2)
    LanguageModel(network, params, small.vocabulary, TextConfig()).save(tmp_path / "relu.safetensors")
    out = charlm("cells", "-m", "relu.safetensors", "--cell", "0.0", "--color", "ab").out
    assert float(re.sub(r"\x1b\[[\d;]*m", "", out).split()[-1]) > 1


def test_json_of_a_cell_has_the_gates(charlm: Terminal) -> None:
    found = [json.loads(line) for line in charlm("cells", "--cell", "0.1", "ab", "--json").out.splitlines()]
    assert [record["character"] for record in found] == ["a", "b"]
    assert {tuple(record["gates"]) for record in found} == {()}  # a plain RNN has none


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--cell", "0.5"), "charlm: there is no cell 0.5; the model has 0.0 to 0.4\n"),
        (("--cell", "1.0"), "charlm: there is no cell 1.0; the model has 0.0 to 0.4\n"),
        (("--cell", "7"), "'7' is not LAYER.CELL, both counted from 0, such as 0.17"),
        (("--member", "1"), "charlm: --member is 1; expected 0 to 0\n"),
        (("--color", "--json"), "--color and --json exclude each other"),
    ],
)
def test_mistake_is_explained(charlm: Terminal, flags: tuple[str, ...], message: str) -> None:
    assert message in charlm("cells", "ab", *flags, code=2).err


def test_bidirectional_model_is_refused(charlm: Terminal, tmp_path: Path) -> None:
    make_model(tmp_path / "both.safetensors", bidirectional=True)
    shown = charlm("cells", "-m", "both.safetensors", "ab", code=2)
    assert shown.err == "charlm: this model reads from both sides; only models of one direction can be inspected\n"
