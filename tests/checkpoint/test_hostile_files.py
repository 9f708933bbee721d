"""Any bytes give CheckpointError with the path and the reason, or a valid model."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import numpy as np
import pytest
from handmade import make_model, pack, put, read_bytes, refusal, unpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.checkpoint import read_state, write_model, write_state
from charlm.errors import CheckpointError


@pytest.mark.parametrize(
    ("offsets", "size"),
    [
        ([[0, 8], [0, 8]], 8),
        ([[0, 8], [4, 12]], 12),
        ([[0, 8], [12, 20]], 20),
        ([[4, 12], [12, 20]], 20),
    ],
)
def test_tensors_that_overlap_or_leave_a_gap_are_refused(offsets, size, tmp_path):
    entries = [{"dtype": "F32", "shape": [2], "data_offsets": pair} for pair in offsets]
    header = dict(zip("ab", entries, strict=True))
    header["__metadata__"] = {"charlm_state": '{"format_version": 1, "meta": {}}'}
    path = tmp_path / "s"
    path.write_bytes(pack(header, bytes(size)))
    with pytest.raises(CheckpointError) as caught:
        read_state(path)
    assert str(caught.value).startswith(f"{path}: Error while deserializing: invalid offset for tensor `")


def test_data_without_a_tensor_is_refused(tmp_path):
    path = tmp_path / "s"
    path.write_bytes(pack({"__metadata__": {"charlm_state": '{"format_version": 1, "meta": {}}'}}, b"more"))
    with pytest.raises(CheckpointError, match="file not fully covered"):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut short"),
        (b"1234567", "cut short"),
        (b"Once upon a time there was a text.\n", "not a safetensors file"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 0), "not a safetensors file"),
        (pack(b"{}", b""), "not of charlm"),
        (pack(b"{}", b"", length=3), "cut short"),
        (pack(b"\xff\xfe{}", b""), "not UTF-8"),
        (pack("{}".encode("utf-16"), b""), "not UTF-8"),
        (pack(b'\xef\xbb\xbf{"a":1}', b""), "BOM"),
        (pack(b"[1, 2]", b""), "its header is no JSON object"),
        (pack(b'{"a": {}, "a": {}}', b""), "a key occurs twice"),
        (pack(b'{"__metadata__": {}, "__metadata__": {}}', b""), "occurs twice"),
        (pack(b"[" * 10**6, b""), "nested too deeply"),
        (pack(b"{}" + b" " * (64 * 2**20 - 1), b""), "67108864 are allowed"),
        (pack(b"[" + b"{}," * 3_000_000 + b"0]", b""), "more than 2097152 values"),
    ],
)
def test_file_of_another_format_is_refused(content, reason, tmp_path):
    assert reason in refusal(content, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -1e21])
@pytest.mark.parametrize("index", [0, 20, -1])
def test_weights_out_of_range_are_refused(value, index, model_bytes, tmp_path):
    header, data = unpack(model_bytes)
    weights = np.frombuffer(data, "<f4").copy()
    weights[index] = value
    assert "has a weight that is not finite, or beyond 1e+20" in refusal(pack(header, weights.tobytes()), tmp_path)


def test_more_metadata_and_padding_are_allowed(edited, model_bytes, tmp_path):
    assert read_bytes(edited(put("__metadata__", "format", "pt"), inside=False), tmp_path)
    assert read_bytes(edited(lambda c: c["config"].pop("text"), inside=True), tmp_path).text["unit"] == "char"
    end = 8 + struct.unpack("<Q", model_bytes[:8])[0]
    assert read_bytes(pack(model_bytes[8:end] + b"  \n", model_bytes[end:]), tmp_path)


def test_every_truncation_is_refused(model_bytes, tmp_path):
    for end in range(len(model_bytes)):
        assert read_bytes(model_bytes[:end], tmp_path) is None, f"cut at {end}"
    assert read_bytes(model_bytes, tmp_path)
    assert read_bytes(model_bytes + b"\0", tmp_path) is None


def test_flipped_bits_are_refused_or_harmless(model_bytes, tmp_path):
    rng = random.Random(5)
    for index in range(len(model_bytes)):
        for bit in range(8) if index < 8 else [rng.randrange(8)]:
            changed = bytearray(model_bytes)
            changed[index] ^= 1 << bit
            read_bytes(changed, tmp_path)


def test_mixed_up_files_are_refused_or_harmless(model_bytes, tmp_path):
    rng = random.Random(11)
    for _ in range(600):
        changed = bytearray(model_bytes)
        for _ in range(rng.randint(1, 4)):
            start, end = sorted(rng.choices(range(len(changed) + 1), k=2))
            end = min(end, start + 40)
            piece = rng.choice([b"", rng.randbytes(end - start), changed[end : 2 * end - start], b"9" * 30, b'"'])
            changed[start:end] = piece
        if rng.random() < 0.7:  # past the first check
            changed[:8] = model_bytes[:8]
        read_bytes(changed, tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64), st.binary(max_size=64), st.booleans())
def test_any_bytes_are_refused(tmp_path, head, data, is_framed):
    assert read_bytes(pack(head, data) if is_framed else head + data, tmp_path) is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["config", "vocabulary", "training", "format_version", "text"]), anything, st.text())
def test_any_json_at_any_key_is_refused_or_harmless(edited, tmp_path, part, value, key):
    def edit(content):
        if part == "text":
            content["config"]["text"] = value
        elif isinstance(content[part], dict) and len(key) % 2:
            content[part][sorted(content[part])[len(key) % len(content[part])]] = value
        else:
            content[part] = value

    read_bytes(edited(edit, inside=True), tmp_path)


def test_state_files_are_refused_or_harmless(tmp_path):
    path = tmp_path / "s"
    write_state(path, {"a": np.arange(3), "b": np.zeros((), np.float64)}, {"step": 1, "name": "x"})
    good = path.read_bytes()
    for end in range(len(good)):
        path.write_bytes(good[:end])
        with pytest.raises(CheckpointError):
            read_state(path)
    changes = []
    for index in range(len(good)):
        changes += [good[:index] + bytes([good[index] ^ bit]) + good[index + 1 :] for bit in (1, 32)]
    for content in changes:
        path.write_bytes(content)
        with suppress(CheckpointError):
            arrays, meta = read_state(path)
            assert len(arrays) == 2
            assert isinstance(meta, dict)


def test_model_of_another_shape_is_read(tmp_path):
    write_model(tmp_path / "m", make_model("gru", hidden=2, layers=1, tokens="xyz"))
    assert read_bytes((tmp_path / "m").read_bytes(), tmp_path)
