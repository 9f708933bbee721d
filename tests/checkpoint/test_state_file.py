"""The state of a run is read bit for bit as written."""

from __future__ import annotations

import numpy as np
import pytest
from handmade import pack
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from charlm.checkpoint import read_state, write_model, write_state
from charlm.errors import CheckpointError

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text("abcdé./ ", min_size=1, max_size=9),
        st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))),
        max_size=4,
    )
)
def test_arrays_are_read_as_written(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "state"
    write_state(path, arrays, {})
    found, meta = read_state(path)
    assert meta == {}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()  # NaN and -0.0 too


def test_random_generator_is_read_as_written(tmp_path):
    rng = np.random.default_rng(3)
    rng.random(5)
    write_state(tmp_path / "s", {}, {"rng": rng.bit_generator.state, "text": "\ud800\x1b文", "loss": 0.1})
    _, meta = read_state(tmp_path / "s")
    again = np.random.default_rng()
    again.bit_generator.state = meta["rng"]
    assert again.random() == rng.random()
    assert (meta["text"], meta["loss"]) == ("\ud800\x1b文", 0.1)


@pytest.mark.parametrize(
    ("arrays", "meta", "reason"),
    [
        ({"a": np.zeros(2, complex)}, {}, "complex128"),
        ({"a": np.array(["x"])}, {}, "str32"),
        ({}, {"best": float("inf")}, "JSON"),
        ({}, {"rng": object()}, "object"),
        ({}, {"notes": '"' * 2**24}, "more than 67108864 bytes"),
    ],
)
def test_invalid_state_is_not_written(arrays, meta, reason, tmp_path):
    with pytest.raises(CheckpointError, match=reason):
        write_state(tmp_path / "s", arrays, meta)
    assert not list(tmp_path.iterdir())


def test_deeply_nested_meta_is_not_written(tmp_path):
    notes: dict = {}
    for _ in range(100_000):
        notes = {"in": notes}
    with pytest.raises(CheckpointError, match="nested too deeply"):
        write_state(tmp_path / "s", {}, notes)


def test_model_file_is_refused_as_state(model, tmp_path):
    write_model(tmp_path / "m", model)
    with pytest.raises(CheckpointError, match="not the state of a training run"):
        read_state(tmp_path / "m")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"format_version": 2, "meta": {}, "charlm_version": "7.0"}', "written by charlm 7.0; this charlm"),
        ('{"format_version": 1}', "its meta is no JSON object"),
        ('{"format_version": true, "meta": {}}', "format_version is True"),
        ("[1]", "no JSON object"),
        ("{", "Expecting"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_state_is_refused(content, reason, tmp_path):
    (tmp_path / "s").write_bytes(pack({"__metadata__": {"charlm_state": content}}, b""))
    with pytest.raises(CheckpointError, match=reason) as caught:
        read_state(tmp_path / "s")
    assert str(caught.value).startswith(f"{tmp_path / 's'}: ")
