"""Batches: each character once per epoch, streams that continue, whole lines in columns, exact resume."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from charlm.config import TextConfig, TrainConfig
from charlm.text.batches import Batches, LineBatches, StreamBatches
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.windows import batches_over

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def corpus_of(folder: Path, text: str, **config: object) -> Corpus:
    path = folder / "text.txt"
    path.write_text(text)
    return Corpus.read([path], TextConfig(**config), hold_out=HoldOut(0))  # type: ignore[arg-type]


def running(folder: Path, lines: int = 40, **train: object) -> StreamBatches:
    text = "".join(ALPHABET[k % 20 :] + "\n" for k in range(lines))
    settings = {"batch": 3, "bptt": 7, "restart_rate": 0.0} | train
    return StreamBatches(corpus_of(folder, text), TrainConfig(**settings))  # type: ignore[arg-type]


def without_unknown(batches: Batches) -> Batches:
    batches.unk_rate = 0.0
    return batches


class TestRunningText:
    def test_stream_continues_in_the_next_window(self, tmp_path: Path) -> None:
        batches = without_unknown(running(tmp_path))
        windows = [batches.next() for _ in range(batches.windows_per_epoch)]
        for before, after in pairwise(windows):
            np.testing.assert_array_equal(after.inputs[0], before.targets[-1])
        targets = np.concatenate([w.targets for w in windows])
        segment = (len(batches.ids) - 1) // 3
        for stream in range(3):
            expected = batches.ids[1 + stream * segment :][: len(targets)]
            np.testing.assert_array_equal(targets[:, stream], expected)

    def test_inputs_are_the_characters_before_the_targets(self, tmp_path: Path) -> None:
        batches = without_unknown(running(tmp_path))
        window = batches.next()
        changed = window.inputs[1:] != window.targets[:-1]
        assert (window.inputs[1:][changed] == batches.eos).all()

    def test_resets_are_at_starts_of_lines(self, tmp_path: Path) -> None:
        batches = without_unknown(running(tmp_path, restart_rate=0.9, bptt=30))
        plain = without_unknown(running(tmp_path, restart_rate=0.0, bptt=30))
        resets = 0
        for _ in range(batches.windows_per_epoch):
            with_resets, without = batches.next(), plain.next()
            np.testing.assert_array_equal(with_resets.targets, without.targets)
            new = with_resets.inputs != without.inputs
            assert (with_resets.inputs[new] == batches.eos).all()
            assert (without.inputs[new] == batches.newline).all()
            resets += int(new.sum())
        assert resets > 10

    def test_reset_rate_is_corrected_for_long_lines(self, tmp_path: Path) -> None:
        text = ("x" * 99 + "\n") * 200
        batches = StreamBatches(corpus_of(tmp_path, text), TrainConfig(batch=4, bptt=20, restart_rate=0.02))
        assert batches.reset_rate == pytest.approx(0.02 / (1 - 0.99**20), rel=0.02)
        windows = 3000
        resets = sum(int((batches.next().inputs == batches.eos).sum()) for _ in range(windows))
        assert resets / (4 * windows) == pytest.approx(0.02, abs=0.006)

    def test_text_of_one_line_is_reset_anywhere(self, tmp_path: Path) -> None:
        batches = StreamBatches(corpus_of(tmp_path, "abc" * 100), TrainConfig(batch=4, bptt=10, restart_rate=0.5))
        batches.next()
        assert 0 < (batches.next().inputs[0] == batches.eos).sum() <= 4

    def test_streams_are_reset_at_the_start_of_an_epoch(self, tmp_path: Path) -> None:
        """There they move to another part of the text, so their state is of no use."""
        batches = without_unknown(running(tmp_path, restart_rate=0.0, bptt=30))
        for _ in range(3):
            for index in range(batches.windows_per_epoch):
                inputs, targets, _ = batches.next()
                for x, y in zip(inputs.T, targets.T, strict=True):
                    resets = 1 + np.flatnonzero(x[1:] != y[:-1])
                    newlines = 1 + np.flatnonzero(y[:-1] == batches.newline)
                    if index:
                        assert resets.size == 0
                    else:
                        assert x[0] == batches.eos or resets.tolist() == newlines[:1].tolist() != []

    def test_epochs_have_different_offsets(self, tmp_path: Path) -> None:
        batches = without_unknown(running(tmp_path))
        first = batches.next()
        for _ in range(batches.windows_per_epoch - 1):
            batches.next()
        assert not np.array_equal(batches.next().targets, first.targets)

    @pytest.mark.parametrize(("length", "shape"), [(100, (64, 1)), (40, (41, 1)), (1000, (64, 15)), (2, (3, 1))])
    def test_short_text_shrinks_the_window(self, tmp_path: Path, length: int, shape: tuple[int, int]) -> None:
        batches = StreamBatches(corpus_of(tmp_path, ("ab" * length)[:length]), TrainConfig(batch=32, bptt=64))
        assert batches.next().inputs.shape == shape
        assert batches.size_message is not None
        assert "windows shrunk" in batches.size_message

    def test_long_text_keeps_the_window(self, tmp_path: Path) -> None:
        batches = StreamBatches(corpus_of(tmp_path, "ab" * 1100), TrainConfig(batch=32, bptt=64))
        assert batches.size_message is None


class TestLines:
    def make(self, folder: Path, lines: list[str], **train: object) -> LineBatches:
        settings = {"batch": 3, "bptt": 12} | train
        batches = LineBatches(
            corpus_of(folder, "\n".join(lines), lines=True),
            TrainConfig(**settings),  # type: ignore[arg-type]
        )
        batches.unk_rate = 0.0
        return batches

    def lines_in(self, batches: LineBatches, windows: int) -> Counter[str]:
        """Return the lines of weight 1, read from the columns over several windows."""
        found: Counter[str] = Counter()
        open_lines = [""] * batches.streams
        for _ in range(windows):
            inputs, targets, weights = batches.next()
            counts = np.ones(inputs.shape) if weights is None else weights
            for b in range(batches.streams):
                for x, y, counted in zip(inputs[:, b], targets[:, b], counts[:, b], strict=True):
                    if not counted:
                        continue
                    if x == batches.eos:
                        assert open_lines[b] == ""
                    if y == batches.eos:
                        found[open_lines[b]] += 1
                        open_lines[b] = ""
                    else:
                        open_lines[b] += batches.corpus.vocabulary.decode([y])
        return found

    def test_epoch_has_each_line_once(self, tmp_path: Path) -> None:
        lines = [ALPHABET[k % 17 :][: 1 + k % 9] for k in range(100)]
        batches = self.make(tmp_path, lines)
        for _ in range(3):
            assert self.lines_in(batches, batches.windows_per_epoch) == Counter(lines)

    def test_padding_has_weight_zero(self, tmp_path: Path) -> None:
        batches = self.make(tmp_path, ["abcdefgh"] * 9, batch=2)
        window = batches.next()
        assert window.weights is not None
        np.testing.assert_array_equal(window.weights[:, 0], [1] * 9 + [0] * 3)
        assert (window.inputs[9:] == batches.eos).all()

    def test_full_windows_need_no_weights(self, tmp_path: Path) -> None:
        batches = self.make(tmp_path, ["abc"] * 60)
        assert batches.next().weights is None

    def test_long_lines_continue_in_their_column(self, tmp_path: Path) -> None:
        lines = ["ab", ALPHABET, "cd", ALPHABET[::-1], "ef", "gh"] * 5
        batches = self.make(tmp_path, lines, batch=1)
        found = self.lines_in(batches, batches.windows_per_epoch)
        assert found == Counter(lines)

    def test_line_split_between_columns_counts_only_after_its_start(self, tmp_path: Path) -> None:
        """A long line that is split between two columns has weight 0 in the second, which has not read its start."""
        lines = [ALPHABET + ALPHABET[::-1]] * 20
        batches = self.make(tmp_path, lines, batch=3)
        split = 0
        for _ in range(6):
            for index in range(batches.windows_per_epoch):
                inputs, _, weights = batches.next()
                counts = np.ones(inputs.shape) if weights is None else weights
                if index == 0:
                    assert (inputs[0] == batches.eos).all()
                    split += int((counts.sum(axis=0) == 0).sum())
        assert split > 0, "no line is split between two columns, so the test tests nothing"

    def test_few_lines_shrink_the_window(self, tmp_path: Path) -> None:
        batches = self.make(tmp_path, ["ab", "c"], batch=32, bptt=64)
        window = batches.next()
        assert window.inputs.shape == (5, 1)
        assert batches.size_message is not None

    def test_epochs_have_different_orders(self, tmp_path: Path) -> None:
        batches = self.make(tmp_path, [a + b for a in ALPHABET for b in ALPHABET])
        first = batches.next().inputs
        for _ in range(batches.windows_per_epoch - 1):
            batches.next()
        assert not np.array_equal(batches.next().inputs, first)


@pytest.mark.parametrize("lines", [False, True])
def test_resume_is_exact(tmp_path: Path, lines: bool) -> None:
    text = "".join(ALPHABET[k % 20 :] + "\n" for k in range(60))
    corpus = corpus_of(tmp_path, text, lines=lines)
    config = TrainConfig(batch=4, bptt=30, restart_rate=0.3)
    one, other = batches_over(corpus, config), batches_over(corpus, config)
    one.unk_rate = other.unk_rate = 0.01
    for _ in range(2 * one.windows_per_epoch + 1):
        one.next()
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for _ in range(one.windows_per_epoch + 2):
        for expected, got in zip(one.next(), other.next(), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_unknown_is_substituted_at_its_rate_as_target_and_next_input(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "abcdefgh\n" * 500)
    batches = StreamBatches(corpus, TrainConfig(batch=8, bptt=50, restart_rate=0.0))
    assert batches.unk_rate == corpus.unseen_rate
    batches.unk_rate = 0.01
    windows = [batches.next() for _ in range(100)]
    targets = np.stack([w.targets for w in windows])
    assert (targets == batches.unk).mean() == pytest.approx(0.01, rel=0.15)
    for window in windows:
        replaced = window.targets[:-1] == batches.unk
        following = window.inputs[1:][replaced]
        assert ((following == batches.unk) | (following == batches.eos)).all()


def test_text_with_unknown_tokens_has_no_substitution(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "abab?", min_count=2)
    assert StreamBatches(corpus, TrainConfig()).unk_rate == 0
