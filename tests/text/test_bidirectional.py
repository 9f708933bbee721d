"""Windows of bidirectional models: each character counts once, in its context; masked tokens and EOS never count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from charlm.arrays import Ids
from charlm.config import TextConfig, TrainConfig
from charlm.text.batches import Batch
from charlm.text.bidirectional import (
    BidirectionalLineBatches,
    BidirectionalTextBatches,
    cut_into_windows,
    gather_windows,
    mask_tokens,
)
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

UNMASKED = TextTuning(masked_streams=0.0)
DISTINCT = "".join(chr(0x4E00 + k) for k in range(200))
"""A text in which each character occurs once."""


def corpus_of(folder: Path, text: str, **config: object) -> Corpus:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    return Corpus.read([path], TextConfig(min_count=1, **config), hold_out=HoldOut(0))  # type: ignore[arg-type]


def segments(folder: Path, text: str, tuning: TextTuning = UNMASKED, **train: object) -> BidirectionalTextBatches:
    settings = {"batch": 1, "bptt": 32, "restart_rate": 0.0} | train
    config = TrainConfig(**settings)  # type: ignore[arg-type]
    batches = BidirectionalTextBatches(corpus_of(folder, text), config, tuning)
    batches.unk_rate = 0.0
    return batches


def lines(folder: Path, texts: list[str], tuning: TextTuning = UNMASKED, **train: object) -> BidirectionalLineBatches:
    settings = {"batch": 2, "bptt": 12} | train
    corpus = corpus_of(folder, "\n".join(texts), lines=True)
    batches = BidirectionalLineBatches(corpus, TrainConfig(**settings), tuning)  # type: ignore[arg-type]
    batches.unk_rate = 0.0
    return batches


class TestMasking:
    def windows(self, folder: Path, count: int) -> list[tuple[Ids, Ids, np.ndarray]]:
        batches = segments(folder, "abcdefgh" * 300, DEFAULT_TUNING, batch=8, bptt=64)
        windows = []
        for _ in range(count):
            inputs, targets, weights = batches.next()
            assert weights is not None
            windows.append((inputs, targets, weights))
        return windows

    def test_masked_token_is_read_as_unk_and_has_no_weight(self, tmp_path: Path) -> None:
        n_masked = 0
        for inputs, targets, weights in self.windows(tmp_path, 30):
            is_masked = targets == 1
            n_masked += int(is_masked.sum())
            assert not weights[is_masked].any()
            np.testing.assert_array_equal(inputs[1:], targets[:-1])  # both directions read UNK
        assert n_masked > 0

    def test_half_of_the_streams_are_masked_at_rates_up_to_the_limit(self, tmp_path: Path) -> None:
        targets = np.concatenate([targets for _, targets, _ in self.windows(tmp_path, 250)], axis=1)
        is_full = (targets > 0).all(axis=0)  # others reach beyond the text
        rates = (targets[:, is_full] == 1).mean(axis=0)
        has_masked = rates > 0
        assert rates.size > 1500
        assert has_masked.mean() == pytest.approx(DEFAULT_TUNING.masked_streams, abs=0.05)
        assert rates[has_masked].mean() == pytest.approx(DEFAULT_TUNING.max_masked_rate / 2, abs=0.02)
        assert rates.max() < DEFAULT_TUNING.max_masked_rate + 5 * np.sqrt(0.3 * 0.7 / 64)

    def test_eos_is_never_masked(self, tmp_path: Path) -> None:
        tuning = TextTuning(masked_streams=1.0, max_masked_rate=1e9)
        batches = lines(tmp_path, ["abc", "de", "fghi"] * 10, tuning)
        inputs, targets, weights = batches.next()
        assert set(np.unique(targets)) == {batches.eos, batches.unk}
        assert (inputs[0] == batches.eos).all()
        np.testing.assert_array_equal(inputs[1:], targets[:-1])
        assert weights is not None
        assert not weights.any()

    def test_weights_of_the_window_are_kept(self) -> None:
        inputs, targets = np.array([[2], [3], [4]]), np.array([[3], [4], [5]])
        weights = np.array([[0.5], [0.0], [1.0]], np.float32)
        batch = mask_tokens(Batch(inputs, targets, weights), np.random.default_rng(0), UNMASKED)
        assert batch.weights is not None
        assert batch.weights.tolist() == [[0.5], [0.0], [0.0]]  # the last target has nothing after it


class TestRunningText:
    def counted(self, batches: BidirectionalTextBatches) -> Counter[int]:
        """Return how often each id counts in an epoch."""
        counts: Counter[int] = Counter()
        for _ in range(batches.windows_per_epoch):
            _, targets, weights = batches.next()
            assert weights is not None
            counts.update(targets[weights > 0].tolist())
            assert set(np.unique(weights)) <= {0.0, 1.0}
        return counts

    def test_each_character_counts_once_per_epoch_and_eos_never(self, tmp_path: Path) -> None:
        batches = segments(tmp_path, DISTINCT)
        characters = batches.corpus.vocabulary.encode(DISTINCT).tolist()
        assert batches.segments == 10
        for _ in range(3):
            assert self.counted(batches) == Counter(characters)

    def test_margins_are_read_and_have_no_weight(self, tmp_path: Path) -> None:
        batches = segments(tmp_path, DISTINCT)
        assert (batches.margin, batches.inner) == (4, 23)
        ids = np.asarray(batches.ids)
        n_inside = 0
        for _ in range(batches.windows_per_epoch):
            inputs, targets, weights = batches.next()
            assert weights is not None
            assert not weights[:4].any()
            assert not weights[27:].any()
            if weights[4:27].all():  # a segment that does not reach beyond the text
                n_inside += 1
                first = int(np.flatnonzero(ids == targets[4, 0])[0]) - 5  # of the window's inputs
                expected = [ids[k] if 0 <= k < len(ids) else batches.eos for k in range(first, first + 33)]
                np.testing.assert_array_equal(inputs[:, 0], expected[:-1])
                np.testing.assert_array_equal(targets[:, 0], expected[1:])
        assert n_inside >= 7

    def test_text_that_fits_is_one_window_between_eos(self, tmp_path: Path) -> None:
        batches = segments(tmp_path, "abcde", batch=8, bptt=64)
        inputs, targets, weights = batches.next()
        assert batches.size_message is not None
        assert inputs[:, 0].tolist() == [0, 2, 3, 4, 5, 6, 0]
        assert targets[:, 0].tolist() == [2, 3, 4, 5, 6, 0, 0]
        assert weights is not None
        assert weights[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 0]

    def test_newlines_become_eos_at_the_reset_rate(self, tmp_path: Path) -> None:
        batches = segments(tmp_path, "abc\n" * 500, restart_rate=0.3, batch=8)
        newline = int(batches.corpus.vocabulary.encode("\n")[0])
        ends: Counter[bool] = Counter()
        for _ in range(60):
            inputs, targets, weights = batches.next()
            np.testing.assert_array_equal(inputs[1:], targets[:-1])
            assert weights is not None
            assert not weights[targets == batches.eos].any()
            inside = targets[4:27]
            ends.update((inside[(inside == newline) | (inside == batches.eos)] == batches.eos).tolist())
        assert ends[True] / ends.total() == pytest.approx(0.3, abs=0.05)

    def test_epochs_differ_in_order_and_offset(self, tmp_path: Path) -> None:
        batches = segments(tmp_path, DISTINCT)
        firsts = [batches.order(epoch) for epoch in range(6)]
        assert len({tuple(f) for f in firsts}) == 6
        assert len({int(f.min()) for f in firsts}) > 1
        assert all((np.diff(np.sort(f)) == batches.inner).all() for f in firsts)
        assert all(-batches.inner < f.min() <= 0 for f in firsts)


class TestLines:
    def test_each_line_is_between_eos_and_counts_without_its_end(self, tmp_path: Path) -> None:
        texts = ["abc", "de", "fghij", "k"] * 6
        batches = lines(tmp_path, texts, batch=3)
        found: Counter[str] = Counter()
        counted: Counter[int] = Counter()
        for _ in range(batches.windows_per_epoch):
            inputs, targets, weights = batches.next()
            assert weights is not None
            assert (inputs[0] == batches.eos).all()
            assert not weights[targets == batches.eos].any()
            counted.update(targets[weights > 0].tolist())
            for column in targets.T:
                pieces = "".join(batches.corpus.vocabulary.decode([i]) or "\n" for i in column).split("\n")
                found.update(piece for piece in pieces if piece)
        assert found == Counter(texts)
        assert counted == Counter(batches.corpus.vocabulary.encode("".join(texts)).tolist())


class TestHeldOut:
    def test_each_character_counts_once_and_eos_never(self) -> None:
        ids = np.array([0, 2, 3, 4, 0, 5, 6, 7, 8, 9, 0, 10, 11])
        for inner in (1, 2, 5, 12, 50):
            _, targets, counts = cut_into_windows(ids, inner=inner, margin=3)
            assert Counter(targets[counts].tolist()) == Counter(range(2, 12)), inner

    def test_windows_read_a_margin_on_both_sides(self) -> None:
        ids = np.arange(2, 23)
        ids[0] = 0
        inputs, targets, counts = cut_into_windows(ids, inner=5, margin=2)
        assert inputs.shape == targets.shape == counts.shape == (10, 4)
        np.testing.assert_array_equal(inputs[1:], targets[:-1])
        assert inputs[:, 0].tolist() == [0, 0, 0, 3, 4, 5, 6, 7, 8, 9]
        assert inputs[:, 1].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
        assert targets[:, 3].tolist() == [16, 17, 18, 19, 20, 21, 22, 0, 0, 0]
        np.testing.assert_array_equal(np.flatnonzero(counts[:, 1]), [2, 3, 4, 5, 6])


def test_gathered_windows_have_eos_beyond_the_text() -> None:
    window, is_text = gather_windows(np.array([0, 5, 6, 7]), np.array([-2, 1]), 4)
    assert window.T.tolist() == [[0, 0, 0, 5, 6], [5, 6, 7, 0, 0]]
    assert is_text.T.tolist() == [[False, False, True, True, True], [True, True, True, False, False]]
