"""Texts that benchmarks train and test on: test splits, the held-out part of a model, random text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from charlm.config import TextConfig
from charlm.model import LanguageModel
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut


def split_test(text: str, lines: bool, fraction: float, seed: int) -> tuple[str, str]:
    """Return the training text and the test text.

    The test text of running text is its end. Of lines it is a random fraction of the distinct ones, with all copies.
    """
    if not lines:
        cut = int((1 - fraction) * len(text))
        return text[:cut], text[cut:]
    all_lines = [line for line in text.split("\n") if line]
    distinct = list(dict.fromkeys(all_lines))
    order = np.random.default_rng(seed).permutation(len(distinct))
    test = {distinct[k] for k in order[: int(fraction * len(distinct))]}
    parts = ([line for line in all_lines if (line in test) == is_test] for is_test in (False, True))
    train_text, test_text = ("\n".join(part) + "\n" for part in parts)
    return train_text, test_text


def test_set_loss(model: LanguageModel, text: str, lines: bool) -> float:
    """Return nats per character: running text in one pass from its start, lines one by one with their ends."""
    texts = [line for line in text.split("\n") if line] if lines else [text]
    scores = list(model.score_many(texts, end=lines))
    return -sum(score.log_prob for score in scores) / sum(score.characters for score in scores)


def lines_from_end(text: str, fraction: float, n: int, seed: int) -> list[str]:
    """Return n random lines of at least 20 characters from the last fraction of a text."""
    lines = [line for line in text[int((1 - fraction) * len(text)) :].split("\n")[1:] if len(line) >= 20]
    rng = np.random.default_rng(seed)
    return [lines[k] for k in sorted(rng.choice(len(lines), min(n, len(lines)), replace=False).tolist())]


def held_out_corpus(model: LanguageModel, text: Path) -> Corpus:
    """Return the text split as when the model was trained on it, with the vocabulary of the model."""
    record = model.training
    return Corpus.read(
        [text],
        TextConfig(lines=model.text.lines),
        vocabulary=model.vocabulary,
        hold_out=HoldOut(record.valid, record.settings["held_out"], record.seed or 0),
    )


def held_out_text(model: LanguageModel, text: Path) -> str:
    """Return the held-out part of a text."""
    return model.vocabulary.decode(held_out_corpus(model, text).valid_ids)


def held_out_lines(model: LanguageModel, text: Path) -> list[str]:
    """Return the lines of the held-out part of a running text, without the cut ones at its ends."""
    return held_out_text(model, text).split("\n")[1:-1]


def write_random_text(path: Path, megabytes: int) -> None:
    """Write lines of random words, about `megabytes` MB."""
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + k) for k in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(5000)]
    with path.open("w", encoding="ascii") as file:
        for _ in range(megabytes):
            text = " ".join(words[k] for k in rng.integers(0, 5000, 170_000))
            file.write("\n".join(text[k : k + 60] for k in range(0, 1_000_000, 60)) + "\n")
