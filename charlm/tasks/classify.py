"""Classify texts: the network reads a text from left to right and predicts its label at its end.

    EOS x<1> ... x<n> END  ->  softmax(W_head h_END + b_head)

END is a character after the text, where the label is the target; no other position counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.config import TextConfig
from charlm.errors import CorpusError
from charlm.inference.interface import CausalModel
from charlm.kernels.threads import parallel_map
from charlm.nn.functional import log_softmax
from charlm.tasks.task import Task
from charlm.tasks.tuning import DEFAULT_TUNING, TaskTuning
from charlm.text.quoting import listed
from charlm.text.rows import Row, read_rows
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import EOS, Vocabulary

END = "\x03"
"""The character after a text (U+0003, END OF TEXT). In a text it is read as a space, and so is a newline."""
SPACES = str.maketrans({END: " ", "\n": " "})


class Classify(Task):
    """One stack reads each text; the label counts at its end. Each line is a text."""

    does = "predicts the label of a text"
    commands = ("classify",)
    network: ClassVar[Mapping[str, Any]] = {"bidirectional": False}

    def text(self, config: TextConfig) -> TextConfig:
        """See `Task.text`. Lines are documents."""
        return replace(super().text(config), lines=True)

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> ClassifyScheme:
        """See `Task.scheme`."""
        return ClassifyScheme(labels)


@dataclass
class ClassifyScheme:
    """Characters without labels, and END with the label: see `charlm.text.symbols.Scheme`."""

    labels: tuple[str, ...] | None
    min_count: int = 1
    is_condition: bool = False

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the symbols of each row."""
        for row in read_rows(path, config, tuning):
            yield [*row.text.translate(SPACES), END + row.label, EOS]

    def split(self, symbol: str) -> tuple[str, str | None]:
        """Return the character of a symbol, and the label after it."""
        return symbol[0], symbol[1:] or None


class Labelled(NamedTuple):
    """A text with the probability of each label.

    Attributes
    ----------
    text : str
        The text.
    label : str
        The most probable label.
    probabilities : dict of str to float
        The probability of each label, the highest first.
    """

    text: str
    label: str
    probabilities: dict[str, float]

    @classmethod
    def of(cls, text: str, labels: Sequence[str], log_probs: Array) -> Labelled:
        """Return a text with its labels, from the log-probability of each, (L,), in nats."""
        order = np.argsort(-log_probs, kind="stable").tolist()
        return cls(text, labels[order[0]], {labels[k]: float(np.exp(log_probs[k])) for k in order})

    @property
    def probability(self) -> float:
        """The probability of the most probable label."""
        return self.probabilities[self.label]


class Classifier:
    """Predicts the labels of texts with a network.

    Parameters
    ----------
    network : CausalModel
        Predicts a label after each character.
    vocabulary : Vocabulary
        The tokens that it reads.
    labels : sequence of str
        The labels that it predicts.
    tuning : TaskTuning
        Number of texts that are read at a time.
    """

    def __init__(
        self, network: CausalModel, vocabulary: Vocabulary, labels: Sequence[str], tuning: TaskTuning = DEFAULT_TUNING
    ) -> None:
        self._network, self._vocabulary, self._labels, self._tuning = network, vocabulary, labels, tuning
        self._end = vocabulary.encode(END)

    def classify(self, texts: Iterable[str], threads: int = 1) -> Iterator[Labelled]:
        """Yield the labels of each text, in order and in bounded memory; the first ones early.

        Parameters
        ----------
        texts : iterable of str
            The texts.
        threads : int
            Cores to use.
        """
        remaining, size = iter(texts), self._tuning.first_texts
        while batch := list(islice(remaining, size)):
            size = min(4 * size, self._tuning.texts_per_batch)
            for text, log_probs in zip(batch, self._log_probs(batch, threads), strict=True):
                yield Labelled.of(text, self._labels, log_probs)

    def _log_probs(self, texts: Sequence[str], threads: int) -> Array:
        """Return the log-probability of each label of each text, (N, L), in nats."""
        ids = [np.concatenate([self._vocabulary.encode(text.translate(SPACES)), self._end]) for text in texts]
        order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
        size = self._network.streams_per_step
        groups = [order[start : start + size] for start in range(0, len(order), size)]

        def read(group: Sequence[int]) -> Array:
            """Read texts side by side; EOS before a text resets the state, so that the texts end together."""
            window = np.full((len(ids[group[-1]]) + 1, len(group)), self._vocabulary.eos, np.intp)
            for column, k in enumerate(group):
                window[-len(ids[k]) :, column] = ids[k]
            state = self._network.advance(window[:-1], self._network.zero_state(len(group)))
            logits, _ = self._network.step(window[-1], state)
            return log_softmax(logits.astype(np.float64))

        result = np.empty((len(texts), len(self._labels)))
        for group, log_probs in zip(groups, parallel_map(read, groups, threads), strict=True):
            result[group] = log_probs
        return result


class Confusion:
    """How often each label was predicted for each true label.

    Attributes
    ----------
    counts : ndarray of int, (L, L)
        Row: true label; column: predicted label.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {label: number for number, label in enumerate(labels)}
        self.counts = np.zeros((len(labels), len(labels)), np.int64)

    def number(self, row: Row, name: str) -> int:
        """Return the number of a row's label; CorpusError, with the labels, if the model does not have it."""
        if row.label not in self._numbers:
            known = listed(self.labels)
            raise CorpusError(f"{name}: line {row.line}: the model has no label {row.label!r}; it has {known}")
        return self._numbers[row.label]

    def add(self, true: int, predicted: str) -> None:
        """Count a prediction."""
        self.counts[true, self._numbers[predicted]] += 1

    @property
    def accuracy(self) -> float:
        """The fraction of right predictions."""
        return float(self.counts.trace()) / max(int(self.counts.sum()), 1)

    def metrics(self, number: int) -> tuple[float, float, float]:
        """Return precision, recall and F1 of a label."""
        right = float(self.counts[number, number])
        predicted, actual = float(self.counts[:, number].sum()), float(self.counts[number].sum())
        return right / max(predicted, 1), right / max(actual, 1), 2 * right / max(predicted + actual, 1)
