"""How windows are cut for PyTorch, and which streams each rank reads; without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.config import EngineConfig, TextConfig, TrainConfig
from charlm.engines.process_group import ProcessGroup
from charlm.engines.segments import cut_into_chunks, cut_into_segments
from charlm.errors import ConfigError
from charlm.text.corpus import Corpus
from charlm.text.windows import batches_over


def test_segments_begin_at_resets_and_cover_the_window_in_order() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 4, (11, 5))
    inputs[0] = [1, 0, 2, 0, 3]
    cut = cut_into_segments(inputs, 0)
    assert sorted(cut.order) == list(range(inputs.size))
    assert (np.diff(cut.sizes) <= 0).all()
    offset = 0
    read: list[list[int]] = [[] for _ in cut.columns]
    for size in cut.sizes:
        for segment in range(size):
            read[segment].append(int(cut.order[offset + segment]))
        offset += int(size)
    for segment, elements in enumerate(read):
        steps, streams = np.divmod(elements, 5)
        assert (streams == cut.columns[segment]).all()
        assert (np.diff(steps) == 1).all()
        assert (inputs.ravel()[elements[1:]] != 0).all()
        is_first = steps[0] == 0 and inputs[0, streams[0]] != 0
        assert cut.carried[segment, 0] == is_first
        assert is_first or inputs.ravel()[elements[0]] == 0 or steps[0] == 0
    assert [cut.columns[segment] for segment in cut.last] == list(range(5))
    assert all(read[segment][-1] // 5 == 10 for segment in cut.last)


def test_chunks_begin_at_resets_and_are_refused_if_short() -> None:
    inputs = np.full((24, 3), 7)
    assert cut_into_chunks(inputs, 0, 8) == [slice(0, 24)]
    inputs[0, 0] = inputs[5, 1] = inputs[5, 2] = inputs[23, 0] = 0
    assert cut_into_chunks(inputs, 0, 8) == [slice(0, 5), slice(5, 23), slice(23, 24)]
    inputs[[6, 9], 1] = 0
    assert cut_into_chunks(inputs, 0, 8) == []


@pytest.mark.parametrize("lines", [False, True])
def test_ranks_together_read_the_streams_of_one_process(tmp_path: Path, lines: bool) -> None:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {k * k % 97} of it\n" for k in range(400)))
    config = TrainConfig(batch=7, bptt=30, restart_rate=0.5)
    corpus = Corpus.read([path], TextConfig(lines=lines))
    alone = batches_over(corpus, config)
    ranks = [batches_over(corpus, config) for _ in range(3)]
    for rank, batches in enumerate(ranks):
        batches.local_slice = ProcessGroup(rank, 3).local_slice(batches.streams)
    for _ in range(2 * alone.windows_per_epoch):
        window, parts = alone.next(), [batches.next() for batches in ranks]
        assert np.array_equal(window.inputs, np.hstack([part.inputs for part in parts]))
        assert np.array_equal(window.targets, np.hstack([part.targets for part in parts]))
        counts = [np.ones(part.inputs.shape) if part.weights is None else part.weights for part in parts]
        assert np.array_equal(1 if window.weights is None else window.weights, np.hstack(counts)) or (
            window.weights is None and np.hstack(counts).all()
        )


def test_settings_of_pytorch_with_another_engine_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="settings of PyTorch"):
        EngineConfig("numpy", device="cuda")
    for settings in ({"name": "jax"}, {"name": "torch", "device": "tpu"}, {"name": "torch", "precision": "int8"}):
        with pytest.raises(ConfigError, match="expected one of"):
            EngineConfig(**settings)


def test_torch_engine_without_pytorch_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.delitem(__import__("sys").modules, "charlm.engines.torch_engine", raising=False)
    with pytest.raises(charlm.CharlmError, match=r"PyTorch is not installed: pip install"):
        charlm.train(tmp_path / "text.txt", tmp_path / "m.safetensors", engine=EngineConfig("torch"))
