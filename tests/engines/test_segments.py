"""Windows as packed segments, and who reads which streams; without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.config import EngineConfig, TextConfig, TrainConfig
from charlm.engines.ranks import Ranks
from charlm.engines.segments import cut_into_segments, cut_into_spans
from charlm.errors import ConfigError
from charlm.text.corpus import Corpus
from charlm.text.windows import batches_over


def test_every_segment_begins_where_a_stream_starts_and_is_read_in_order() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 4, (11, 5))
    inputs[0] = [1, 0, 2, 0, 3]
    cut = cut_into_segments(inputs, 0)
    assert sorted(cut.places) == list(range(inputs.size))
    assert (np.diff(cut.sizes) <= 0).all()
    place = 0
    read: list[list[int]] = [[] for _ in cut.columns]
    for size in cut.sizes:
        for segment in range(size):
            read[segment].append(int(cut.places[place + segment]))
        place += int(size)
    for segment, places in enumerate(read):
        steps, streams = np.divmod(places, 5)
        assert (streams == cut.columns[segment]).all()
        assert (np.diff(steps) == 1).all()
        assert (inputs.ravel()[places[1:]] != 0).all()
        is_first = steps[0] == 0 and inputs[0, streams[0]] != 0
        assert cut.carried[segment] == is_first
        assert is_first or inputs.ravel()[places[0]] == 0 or steps[0] == 0
    assert [cut.columns[segment] for segment in cut.last] == list(range(5))
    assert all(read[segment][-1] // 5 == 10 for segment in cut.last)


def test_spans_begin_where_a_stream_starts_and_are_few() -> None:
    inputs = np.full((24, 3), 7)
    assert cut_into_spans(inputs, 0) == [slice(0, 24)]
    inputs[0, 0] = inputs[5, 1] = inputs[5, 2] = inputs[23, 0] = 0
    assert cut_into_spans(inputs, 0) == [slice(0, 5), slice(5, 23), slice(23, 24)]
    inputs[[6, 9], 1] = 0
    assert cut_into_spans(inputs, 0) == []


@pytest.mark.parametrize("lines", [False, True])
def test_ranks_read_together_what_one_reads_alone(tmp_path: Path, lines: bool) -> None:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {k * k % 97} of it\n" for k in range(400)))
    config = TrainConfig(batch=7, bptt=30, restart_rate=0.5)
    with Corpus.read([path], TextConfig(lines=lines)) as corpus:
        alone = batches_over(corpus, config)
        ranks = [batches_over(corpus, config) for _ in range(3)]
        for rank, batches in enumerate(ranks):
            batches.local_slice = Ranks(rank, 3).local_slice(batches.streams)
        for _ in range(2 * alone.windows_per_epoch):
            whole, parts = alone.next(), [batches.next() for batches in ranks]
            assert np.array_equal(whole.inputs, np.hstack([part.inputs for part in parts]))
            assert np.array_equal(whole.targets, np.hstack([part.targets for part in parts]))
            counts = [np.ones(part.inputs.shape) if part.weights is None else part.weights for part in parts]
            assert np.array_equal(1 if whole.weights is None else whole.weights, np.hstack(counts)) or (
                whole.weights is None and np.hstack(counts).all()
            )


def test_settings_of_pytorch_are_refused_without_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="settings of PyTorch"):
        EngineConfig("numpy", device="cuda")
    for settings in ({"name": "jax"}, {"name": "torch", "device": "tpu"}, {"name": "torch", "precision": "int8"}):
        with pytest.raises(ConfigError, match="expected one of"):
            EngineConfig(**settings)


def test_without_pytorch_there_is_a_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.delitem(__import__("sys").modules, "charlm.engines.torch", raising=False)
    with pytest.raises(charlm.CharlmError, match=r"needs PyTorch.*pip install"):
        charlm.train(tmp_path / "text.txt", tmp_path / "m.safetensors", engine=EngineConfig("torch"))
