"""A model file is read as it was written, and a model that could not be read is not written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from handmade import make_model, unpack
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from charlm.checkpoint import TrainingRecord, read_model, write_model
from charlm.config import NetworkConfig
from charlm.errors import CheckpointError
from charlm.nn.cells import CELLS
from charlm.nn.layout import parameter_layout
from charlm.version import __version__


def assert_same(found, model):
    assert (found.config, found.text, found.vocabulary) == (model.config, model.text, model.vocabulary)
    assert found.training == model.training
    assert found.tensors.keys() == model.tensors.keys()
    for name, tensor in model.tensors.items():
        assert found.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(found.tensors[name], tensor)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_model_is_read_as_written(cell, layers, tmp_path):
    model = make_model(cell, layers=layers)
    write_model(tmp_path / "m", model)
    assert_same(read_model(tmp_path / "m"), model)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_bidirectional_model_is_read_as_written(cell, layers, tmp_path):
    config = NetworkConfig(cell, 3, layers, bidirectional=True)
    shapes = parameter_layout(config, len(make_model().vocabulary))
    tensors = {name: np.random.default_rng(1).normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = replace(make_model(), config=config, tensors=tensors)
    write_model(tmp_path / "m", model)
    assert_same(read_model(tmp_path / "m"), model)


@pytest.mark.parametrize("members", [2, 11, 64])
def test_mixture_is_read_as_written(members, tmp_path):
    model = make_model(members=members)
    write_model(tmp_path / "m", model)
    found = read_model(tmp_path / "m")
    assert_same(found, model)
    assert found.members == members
    header, _ = unpack((tmp_path / "m").read_bytes())
    content = json.loads(header["__metadata__"]["charlm"])
    assert content["members"] == members
    assert f"{members - 1}.rnn.weight_ih_l0" in header


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=30))
def test_any_vocabulary_is_read_as_written(tmp_path_factory, tokens):
    path = tmp_path_factory.getbasetemp() / "any"
    model = make_model(layers=1, tokens=tokens)
    write_model(path, model)
    assert read_model(path).vocabulary == model.vocabulary


def test_file_has_the_documented_format(model, tmp_path):
    write_model(tmp_path / "m", model)
    header, _ = unpack((tmp_path / "m").read_bytes())
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["charlm"]
    assert json.loads(metadata["charlm"]) == {
        "format_version": 1,
        "charlm_version": __version__,
        "config": {
            "cell": "lstm",
            "hidden": 3,
            "layers": 2,
            "dropout": 0.25,
            "recurrent_dropout": 0.0,
            "text": {
                name: value for name, value in model.text.items() if name not in ("task", "remove", "target_unit")
            },
        },
        "torch": "torch.nn.LSTM",
        "vocabulary": model.vocabulary.to_json(),
        "training": {"sources": ["a.txt"], "seconds": 1.5, "note": 7},
    }
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("rnn-relu", "torch.nn.RNN(nonlinearity='relu')"),
        ("gru-simple", "none: PyTorch has no such cell"),
        ("gru-before", "none: PyTorch has no such cell"),
    ],
)
def test_file_names_the_class_of_pytorch(cell, says, tmp_path):
    write_model(tmp_path / "m", make_model(cell))
    header, _ = unpack((tmp_path / "m").read_bytes())
    assert json.loads(header["__metadata__"]["charlm"])["torch"] == says


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_pytorch_loads_a_file_strictly(cell, tmp_path):
    torch = pytest.importorskip("torch")
    model = make_model(cell)
    write_model(tmp_path / "m", model)
    twin = torch.nn.Module()
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
    twin.rnn = kind(len(model.vocabulary), 3, num_layers=2)
    twin.head = torch.nn.Linear(3, len(model.vocabulary))
    tensors = load_file(tmp_path / "m")
    twin.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)


def test_tensors_of_any_memory_layout_are_written(model, tmp_path):
    turned = {name: np.asfortranarray(t.astype(np.float64)) for name, t in model.tensors.items()}
    write_model(tmp_path / "m", replace(model, tensors=turned))
    assert_same(read_model(tmp_path / "m"), model)


@pytest.mark.timeout(60)
def test_vocabulary_of_all_planes_is_read_as_written(tmp_path):
    every_third = "".join(chr(code) for code in range(0x20, 0x110000, 3) if not 0xD800 <= code < 0xE000)
    model = make_model("rnn", hidden=1, layers=1, tokens=every_third)
    write_model(tmp_path / "m", model)
    assert len(read_model(tmp_path / "m").vocabulary) == 2 + len(every_third)


def spoiled(model, name="head.bias", value=np.nan):
    tensors = {**model.tensors, name: model.tensors[name].copy()}
    tensors[name].flat[1] = value
    return replace(model, tensors=tensors)


UNWRITABLE = {
    "NaN": (spoiled, "head.bias"),
    "infinity": (lambda m: spoiled(m, "rnn.weight_hh_l1", -np.inf), "rnn.weight_hh_l1"),
    "overflow": (lambda m: spoiled(m, value=1e30), "head.bias"),
    "shape": (lambda m: replace(m, tensors={**m.tensors, "head.bias": np.zeros(4)}), r"head.bias is \[4\]"),
    "missing": (
        lambda m: replace(m, tensors={k: v for k, v in m.tensors.items() if k != "head.weight"}),
        "head.weight is missing; this network needs",
    ),
    "too many": (
        lambda m: replace(m, tensors={**m.tensors, "x\x1b": np.zeros(1)}),
        r"tensor x\\x1b is \[1\]; this network needs no such tensor",
    ),
    "NaN loss": (lambda m: replace(m, training=TrainingRecord(other={"loss": float("nan")})), "JSON"),
    "not JSON": (lambda m: replace(m, training=TrainingRecord(other={"loss": np.float32(2)})), "float32"),
    "other unit": (lambda m: replace(m, text={"unit": "word"}), "word"),
    "encoding": (lambda m: replace(m, text={"encoding": "hex"}), "hex"),
    "unknown": (lambda m: replace(m, text={"colour": "red"}), "colour"),
    "no members": (lambda m: replace(m, members=0), "this network needs no such tensor"),
    "many members": (lambda m: make_model(hidden=1, layers=1, members=65), "it says 65 of its members"),
    "too long": (lambda m: replace(m, training=TrainingRecord(other={"notes": "x" * 2**26})), "characters"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_invalid_model_is_not_written(case, model, tmp_path):
    spoil, reason = UNWRITABLE[case]
    path = tmp_path / "m"
    path.write_text("old")
    with pytest.raises(CheckpointError, match=reason) as caught:
        write_model(path, spoil(model))
    assert str(caught.value).startswith(f"cannot write {path}: ")
    assert str(caught.value).isprintable()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
