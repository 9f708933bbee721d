"""Label the tokens of sentences: each character learns the label of its token, and a token's label is from all of its.

    score(label) = mean over the characters of the token of log p(label | the whole sentence)

Sequences of BIO labels are valid: the best one is found by the Viterbi algorithm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import TextConfig
from charlm.inference.interface import BidirectionalModel
from charlm.tasks.spans import Span, allowed_transitions, best_sequence, is_bio, spans_of
from charlm.tasks.task import Task
from charlm.tasks.tuning import DEFAULT_TUNING, TaskTuning
from charlm.text.conll import read_sentences
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import EOS, Vocabulary

SPACES = str.maketrans("\n", " ")


class Tag(Task):
    """Both stacks read a sentence; each character of a token has the token's label."""

    does = "labels the tokens of sentences"
    commands = ("tag",)
    network: ClassVar[Mapping[str, Any]] = {"bidirectional": True}

    def text(self, config: TextConfig) -> TextConfig:
        """See `Task.text`. Sentences are documents."""
        return replace(super().text(config), lines=True)

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> TagScheme:
        """See `Task.scheme`."""
        return TagScheme(labels)


@dataclass
class TagScheme:
    """Characters with the labels of their tokens, spaces between tokens: see `charlm.text.symbols.Scheme`."""

    labels: tuple[str, ...] | None
    min_count: int = 1
    is_condition: bool = False

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the symbols of each sentence."""
        for sentence in read_sentences(path, config, tuning):
            symbols: list[str] = []
            for token in sentence:
                symbols += [" "] * bool(symbols) + [character + token.label for character in token.text]
            yield [*symbols, EOS]

    def split(self, symbol: str) -> tuple[str, str | None]:
        """Return the character of a symbol, and the label after it."""
        return symbol[0], symbol[1:] or None


class Tagged(NamedTuple):
    """The tokens of a sentence with their labels, the probability of each, in (0, 1], and the spans of the labels."""

    tokens: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    spans: tuple[Span, ...]


class TokenTagger:
    """Labels the tokens of sentences with a network.

    Parameters
    ----------
    network : BidirectionalModel
        Predicts a label at each character.
    vocabulary : Vocabulary
        The tokens that it reads.
    labels : sequence of str
        The labels that it predicts.
    tuning : TaskTuning
        Sizes of windows and batches.
    """

    def __init__(
        self,
        network: BidirectionalModel,
        vocabulary: Vocabulary,
        labels: Sequence[str],
        tuning: TaskTuning = DEFAULT_TUNING,
    ) -> None:
        self.bio = is_bio(labels)
        self._network, self._vocabulary, self._labels, self._tuning = network, vocabulary, labels, tuning
        self._allowed = allowed_transitions(labels if self.bio else [""] * len(labels))

    def tag(self, sentences: Iterable[Sequence[str]]) -> Iterator[Tagged]:
        """Yield the labels of each sentence, in order and in bounded memory; the first ones early.

        Parameters
        ----------
        sentences : iterable of sequence of str
            The tokens of each sentence; none is empty. A sentence may have no tokens.
        """
        remaining, size = iter(sentences), self._tuning.first_texts
        while batch := list(islice(remaining, size)):
            size = min(4 * size, self._tuning.sentences_per_batch)
            texts = [self._vocabulary.encode(" ".join(tokens).translate(SPACES)) for tokens in batch]
            for tokens, log_probs in zip(batch, self._log_probs(texts), strict=True):
                yield self._decode(tokens, log_probs)

    def _decode(self, tokens: Sequence[str], log_probs: Array) -> Tagged:
        """Return the best valid labels of the tokens of a sentence.

        log_probs: of each label at each character of the tokens, joined by spaces, (n, L).
        """
        if not tokens:
            return Tagged((), (), (), ())
        lengths = np.array([len(token) for token in tokens])
        starts = np.cumsum(lengths + 1) - lengths - 1
        scores = np.array([log_probs[start : start + n].mean(axis=0) for start, n in zip(starts, lengths, strict=True)])
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        numbers = best_sequence(scores, self._allowed)
        labels = tuple(self._labels[number] for number in numbers)
        probabilities = tuple(np.exp(scores[np.arange(len(numbers)), numbers]).tolist())
        return Tagged(tuple(tokens), labels, probabilities, tuple(spans_of(labels, bio=self.bio)))

    def _log_probs(self, texts: Sequence[Ids]) -> list[Array]:
        """Return the log-probability of each label at each character of each text, (n, L)."""
        found: list[Array] = [np.empty((len(text), len(self._labels))) for text in texts]
        parts = sorted(self._parts(texts), key=lambda part: part[2] - part[1])
        size = self._tuning.windows_per_batch
        context = self._tuning.margin
        for start in range(0, len(parts), size):
            group = parts[start : start + size]
            steps = max(min(last + context, len(texts[k])) - max(0, first - context) for k, first, last in group)
            window = np.full((steps + 2, len(group)), self._vocabulary.eos, np.intp)
            for column, (k, first, last) in enumerate(group):
                part = texts[k][max(0, first - context) : last + context]
                window[1 : len(part) + 1, column] = part
            log_probs = self._network.predict(window, window)  # (T, L, B)
            for column, (k, first, last) in enumerate(group):
                row = 1 + first - max(0, first - context)
                found[k][first:last] = log_probs[row : row + last - first, :, column]
        return found

    def _parts(self, texts: Sequence[Ids]) -> Iterator[tuple[int, int, int]]:
        """Cut long texts into windows; yield the index of each text and the bounds of its parts."""
        size = self._tuning.window
        for k, text in enumerate(texts):
            for first in range(0, len(text), size):
                yield k, first, min(first + size, len(text))
