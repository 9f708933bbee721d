"""Labelled text: each symbol is a token that a network reads, together with the label that it predicts there.

A corpus of labelled text is a sequence of symbols, so that it is held out, stored and cut into windows like one of
tokens. Two tables turn symbols into tokens and into labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import NamedTuple, Protocol

import numpy as np

from charlm.arrays import Ids, Mask, join_ids
from charlm.config import MAX_LABELS, TextConfig
from charlm.errors import CorpusError
from charlm.text.tuning import TextTuning

NO_LABEL = -1
"""In the place of a label: the position does not count in the loss."""


class Scheme(Protocol):
    """How a file becomes symbols.

    Attributes
    ----------
    labels : tuple of str or None
        The labels, in the order of their numbers; None to collect those of the training part.
    min_count : int
        Labels that are collected occur at least this often.
    is_condition : bool
        Whether a label is read with each token, and not predicted.
    """

    labels: tuple[str, ...] | None
    min_count: int
    is_condition: bool

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the symbols of a file in parts; the symbol "<EOS>" ends a document."""

    def split(self, symbol: str) -> tuple[str, str | None]:
        """Return the token and the label of a symbol; None for no label, and EOS for no token that is read."""


class Symbols(NamedTuple):
    """Tables of S symbols. Symbol 0 is EOS.

    Attributes
    ----------
    tokens : ndarray of int, (S,)
        Id of the token of each symbol; 0, EOS, for a symbol that is a label alone.
    labels : ndarray of int, (S,)
        Number of the label of each symbol, NO_LABEL for none.
    """

    tokens: Ids
    labels: Ids

    @property
    def has_targets(self) -> bool:
        """Whether some symbols are labels alone: those of the targets of pairs."""
        return bool((self.tokens[1:] == 0).any())

    def windows(self, symbols: Ids, counts: Mask) -> tuple[Ids, Ids, Mask]:
        """Return inputs, targets and a mask of the targets that count, (T, B) each, of windows of symbols."""
        labels = self.labels[symbols]
        return self.tokens[symbols], np.maximum(labels, 0), counts & (labels != NO_LABEL)


class Conditions(NamedTuple):
    """Tables of S symbols, of which a network reads the tokens with their labels, and predicts the tokens.

    Attributes
    ----------
    tokens : ndarray of int, (S,)
        Id of the token of each symbol.
    labels : ndarray of int, (S,)
        Number of the label of each symbol, NO_LABEL for none.
    size : int
        Number of labels.
    """

    tokens: Ids
    labels: Ids
    size: int

    def split(self, inputs: Ids, targets: Ids) -> tuple[Ids, Ids, Ids]:
        """Return the tokens of inputs and targets and the label of each input, of windows (T, B) of symbols.

        An EOS that is read has the label of the text after it.
        """
        labels = self.labels[np.where(targets == 0, inputs, targets)]
        return self.tokens[inputs], self.tokens[targets], labels

    def windows(self, inputs: Ids, targets: Ids, counts: Mask) -> tuple[Ids, Ids, Mask]:
        """Return inputs, targets and a mask of the targets that count, of windows (T, B) of symbols.

        Texts with a label that the training part does not have do not count.
        """
        tokens, targets, labels = self.split(inputs, targets)
        return join_ids(tokens, np.maximum(labels, 0), self.size), targets, counts & (labels != NO_LABEL)

    def texts(self, symbols: Ids) -> tuple[int, ...]:
        """Return the number of texts with each label, for symbols (n,) that start with EOS."""
        first = symbols[1:][np.asarray(symbols[:-1]) == 0]
        return tuple(np.bincount(self.labels[first], minlength=self.size).tolist())


def collect_labels(scheme: Scheme, symbols: Sequence[str], counts: Ids) -> tuple[tuple[str, ...], Ids]:
    """Number the labels.

    Parameters
    ----------
    scheme : Scheme
        Its labels, if it has any, keep their numbers.
    symbols : sequence of str
        All symbols; EOS and UNK come first.
    counts : ndarray of int, (S,)
        How often each symbol occurs in the training part.

    Returns
    -------
    labels : tuple of str
        The labels by their numbers: the empty one, which ends the target of a pair, then the most frequent first.
    numbers : ndarray of int, (S,)
        Number of the label of each symbol, NO_LABEL for none.

    Raises
    ------
    CorpusError
        There are fewer than two labels, or too many.
    """
    found = [None, None, *(scheme.split(symbol)[1] for symbol in symbols[2:])]
    labels = scheme.labels
    if labels is None:
        totals: dict[str, int] = {}
        for label, count in zip(found, counts.tolist(), strict=True):
            if label is not None:
                totals[label] = totals.get(label, 0) + count
        frequent = [label for label, total in totals.items() if total >= scheme.min_count]
        labels = tuple(sorted(frequent, key=lambda label: (label != "", -totals[label], label)))
    if not 1 < len(labels) <= MAX_LABELS:
        raise CorpusError(
            f"the training text has {len(labels):,} label{'s' * (len(labels) != 1)}; "
            f"there is something to learn from 2 to {MAX_LABELS:,}"
        )
    numbers = {label: number for number, label in enumerate(labels)}
    return labels, np.array([numbers.get(label, NO_LABEL) if label is not None else NO_LABEL for label in found])
