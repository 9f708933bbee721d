"""Windows of labelled text: tokens and labels are those of the same symbol, and each label counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from charlm.config import TextConfig, TrainConfig
from charlm.errors import CorpusError
from charlm.tasks import find_task
from charlm.text.batches import Batches
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.symbols import collect_labels
from charlm.text.windows import batches_over

TEXT = "Élan à Łódź.\nça va, não?\n"


def corpus_of(folder: Path, text: str, *, lines: bool = False, labels: tuple[str, ...] | None = None) -> Corpus:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    config = TextConfig(task="restore", remove="marks", min_count=1, lines=lines)
    scheme = find_task("restore").scheme(config, labels)
    return Corpus.read([path], config, hold_out=HoldOut(0), scheme=scheme)


def windows(corpus: Corpus, count: int, **train: object) -> list[tuple[np.ndarray, ...]]:
    config = TrainConfig(**({"batch": 2, "bptt": 16, "restart_rate": 0.0} | train))  # type: ignore[arg-type]
    batches = batches_over(corpus, config, bidirectional=True)
    batches.unk_rate = 0.0
    return [batches.next() for _ in range(count)]  # type: ignore[misc]


def pairs(corpus: Corpus, batch: tuple[np.ndarray, ...]) -> list[tuple[str, str]]:
    """Return the tokens and labels of a window that count."""
    inputs, targets, weights = batch
    return [
        (corpus.vocabulary.tokens[i], corpus.labels[t])
        for i, t, w in zip(inputs.ravel(), targets.ravel(), weights.ravel(), strict=True)
        if w
    ]


@pytest.mark.parametrize("lines", [False, True])
def test_label_of_each_token_is_that_of_its_symbol(tmp_path: Path, lines: bool) -> None:
    corpus = corpus_of(tmp_path, TEXT * 20, lines=lines)
    found = Counter(pair for batch in windows(corpus, 12) for pair in pairs(corpus, batch))
    assert {label for token, label in found if token == "E"} == {"||\u0301|"}
    assert {label for token, label in found if token == "L"} == {"|ł||"}
    assert {label for token, label in found if token == "c"} == {"||\u0327|"}
    assert {label for token, label in found if token == "a"} == {"|||", "||\u0300|", "||\u0303|"}
    assert ("n", "|||") in found
    assert ("<EOS>", "|||") not in found


def test_each_symbol_of_lines_counts_once_per_epoch(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, TEXT * 20, lines=True)
    batches = batches_over(corpus, TrainConfig(batch=4, bptt=40), bidirectional=True)
    assert isinstance(batches, Batches)
    batches.unk_rate = 0.0
    found = [pair for _ in range(batches.windows_per_epoch) for pair in pairs(corpus, batches.next())]  # type: ignore[arg-type]
    assert len(found) == len(TEXT.replace("\n", "")) * 20
    assert Counter(token for token, _ in found)["L"] == 20


def test_newlines_that_become_eos_have_no_label(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, TEXT * 20)
    for inputs, _, weights in windows(corpus, 5, restart_rate=0.99):
        assert not weights[inputs == 0].any()
        assert (inputs == 0).any()


def test_unknown_tokens_are_read_as_unk_and_keep_their_labels(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, TEXT * 20)
    batches = batches_over(corpus, TrainConfig(batch=2, bptt=16), bidirectional=True)
    batches.unk_rate = 0.5
    inputs, targets, weights = batches.next()
    assert weights is not None
    assert 0.2 < (inputs == 1).mean() < 0.8
    assert (targets[(inputs == 1) & (weights > 0)] > 0).any()


def test_windows_continue_at_a_saved_position(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, TEXT * 20)
    config = TrainConfig(batch=2, bptt=16)
    first, second = (batches_over(corpus, config, bidirectional=True) for _ in range(2))
    for _ in range(5):
        first.next()
    second.load_state_dict(first.state_dict())
    for one, two in zip(first.next(), second.next(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_labels_are_sorted_by_frequency_and_rare_ones_are_left_out(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "aaéà" * 10 + "öñ")
    assert corpus.labels == ("|||", "||\u0300|", "||\u0301|")
    symbols = corpus.symbols
    assert symbols is not None
    assert (symbols.labels[np.asarray(corpus.ids)] == -1).sum() == 4  # two EOS, and the letters with a rare label


def test_labels_of_a_resumed_run_keep_their_numbers(tmp_path: Path) -> None:
    labels = ("||\u0301|", "|||")
    corpus = corpus_of(tmp_path, TEXT, labels=labels)
    assert corpus.labels == labels


def test_text_without_a_label_is_refused() -> None:
    scheme = find_task("restore").scheme(TextConfig(task="restore", remove="marks"), None)
    assert scheme is not None
    with pytest.raises(CorpusError, match="the training text has 0 labels; there is"):
        collect_labels(scheme, ["<EOS>", "<UNK>", "a"], np.array([1, 0, 2]))
