"""Reading takes bounded time and memory, whatever a file announces, and never waits."""

from __future__ import annotations

import os
import tracemalloc
from math import prod

import pytest
from handmade import make_model, pack, unpack

from charlm.checkpoint import read_model, write_model
from charlm.config import NetworkConfig
from charlm.errors import CheckpointError
from charlm.nn.layout import parameter_layout

MAX_MEMORY = 5e8  # bytes


def announcing(hidden, layers, edited):
    """Return the head of a model file of that size, and the length of the file."""
    header, _ = unpack(edited(lambda c: c["config"].update(hidden=hidden, layers=layers), inside=True))
    grown = {"__metadata__": header["__metadata__"]}
    end = 0
    for name, shape in parameter_layout(NetworkConfig("lstm", hidden, layers), 8).items():
        begin, end = end, end + 4 * prod(shape)
        grown[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = pack(grown, b"")
    return head, len(head) + end


@pytest.mark.parametrize(("hidden", "layers"), [(20_000, 64), (65_536, 64)])
def test_huge_sizes_are_refused_before_they_are_read(hidden, layers, edited, tmp_path):
    """Sparse files of up to 8.8 TB, which take no space on the disk."""
    head, size = announcing(hidden, layers, edited)
    path = tmp_path / "m"
    path.write_bytes(head)
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("this file system has no sparse files of that size")
    with pytest.raises(CheckpointError, match="GB of memory, this machine has"):
        read_model(path)
    path.unlink()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("filling", [b'{"a":0},' * 690_000, b'"' + b"x" * 2**25 + b'",'])
def test_enormous_json_is_refused_in_bounded_time_and_memory(filling, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(pack(b"[" + filling + b"0]", b""))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            read_model(path)
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()


def test_file_that_changes_during_reading_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "m"
    write_model(path, make_model(hidden=300))
    monkeypatch.setattr("charlm.checkpoint.container.check_memory", lambda _: os.truncate(path, 300))
    with pytest.raises(CheckpointError, match="it changed while it was read"):
        read_model(path)


def test_memory_that_runs_out_is_refused(model, tmp_path, monkeypatch):
    def fail(_):
        raise MemoryError

    path = tmp_path / "m"
    write_model(path, model)
    monkeypatch.setattr("safetensors.numpy.load", fail)
    with pytest.raises(CheckpointError, match="it does not fit into memory"):
        read_model(path)


def test_model_is_read_if_the_memory_is_unknown(model, tmp_path, monkeypatch):
    write_model(tmp_path / "m", model)
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert read_model(tmp_path / "m").config == model.config


@pytest.mark.timeout(60)  # opening a pipe without a writer must not wait
def test_only_files_are_read(tmp_path):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="it is not a regular file"):
            read_model(tmp_path / "pipe")
    for path, reason in [
        (tmp_path, "it is a folder"),
        (tmp_path / "none", "there is no such file or folder; make a model with: charlm train FILE"),
        (tmp_path / "none" / "m", "there is no such file"),
        (tmp_path / "\x1b[31m", r"\\x1b\[31m: there is no such file"),
        ("a\0b", r"a\\x00b: "),
        ("\ud800", r"\\ud800: "),
        ("x" * 1000, "too long"),
    ]:
        with pytest.raises(CheckpointError, match=reason) as caught:
            read_model(path)
        assert str(caught.value).isprintable()
