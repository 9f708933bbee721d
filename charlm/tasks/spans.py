"""Labels of tokens as spans: entities of BIO labels, valid sequences of them, and their comparison.

In BIO labels, B-X starts an entity of type X, I-X continues it, and O is outside. In other label sets, a run of one
label but O is a span.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Mask

OUTSIDE = "O"
"""The label of a token that is in no entity."""


class Span(NamedTuple):
    """Tokens start to stop - 1 of a sentence, of one type."""

    start: int
    stop: int
    kind: str


def is_bio(labels: Sequence[str]) -> bool:
    """Return whether labels are BIO labels in which every entity starts with B."""
    starts = {label[2:] for label in labels if label.startswith("B-")}
    others = [label for label in labels if label != OUTSIDE and not label.startswith("B-")]
    return bool(starts) and all(label.startswith("I-") and label[2:] in starts for label in others)


def spans_of(labels: Sequence[str], *, bio: bool) -> list[Span]:
    """Return the spans of a sentence, in order.

    bio: whether the labels are BIO labels. An I-X that does not continue an X starts one.

    >>> spans_of(["B-PER", "I-PER", "O", "B-LOC"], bio=True)
    [Span(start=0, stop=2, kind='PER'), Span(start=3, stop=4, kind='LOC')]
    """
    found: list[Span] = []
    for index, label in enumerate(labels):
        if label == OUTSIDE:
            continue
        kind = label[2:] if bio else label
        continues = bool(found) and found[-1].stop == index and found[-1].kind == kind
        if continues and not (bio and label.startswith("B-")):
            found[-1] = found[-1]._replace(stop=index + 1)
        else:
            found.append(Span(index, index + 1, kind))
    return found


def allowed_transitions(labels: Sequence[str]) -> Mask:
    """Return whether label j may follow label i, (L + 1, L); the last row is for the first token of a sentence."""
    allowed = np.ones((len(labels) + 1, len(labels)), bool)
    for column, label in enumerate(labels):
        if label.startswith("I-"):
            before = [other[:2] in ("B-", "I-") and other[2:] == label[2:] for other in labels]
            allowed[:, column] = [*before, False]
    return allowed


def best_sequence(scores: Array, allowed: Mask) -> list[int]:
    """Return the labels of a sentence with the highest sum of scores among the allowed sequences.

    scores: (n, L), n at least 1.  allowed: what `allowed_transitions` returns.
    References: Viterbi 1967.
    """
    penalty = np.where(allowed, 0.0, -np.inf)
    best = scores[0] + penalty[-1]
    sources = np.zeros((len(scores), scores.shape[1]), np.intp)
    for index in range(1, len(scores)):
        paths = best[:, None] + penalty[:-1]
        sources[index] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[index]
    sequence = [int(best.argmax())]
    for index in range(len(scores) - 1, 0, -1):
        sequence.append(int(sources[index, sequence[-1]]))
    return sequence[::-1]


@dataclass
class Comparison:
    """Counts of tokens with the right label, and of spans by type: in the file, predicted, and the same in both.

    Parameters
    ----------
    bio : bool
        Whether the labels are BIO labels.
    """

    bio: bool
    tokens: int = 0
    right_tokens: int = 0
    actual: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)

    def add(self, true: Sequence[str], guess: Sequence[str]) -> None:
        """Compare the labels of a sentence."""
        self.tokens += len(true)
        self.right_tokens += sum(a == b for a, b in zip(true, guess, strict=True))
        expected, found = (spans_of(labels, bio=self.bio) for labels in (true, guess))
        self.actual.update(span.kind for span in expected)
        self.predicted.update(span.kind for span in found)
        self.right.update(span.kind for span in set(expected) & set(found))

    @property
    def accuracy(self) -> float:
        """The fraction of the tokens with the right label."""
        return self.right_tokens / max(self.tokens, 1)

    @property
    def kinds(self) -> list[str]:
        """The types of spans, sorted."""
        return sorted(self.actual | self.predicted)

    def metrics(self, kinds: Iterable[str]) -> tuple[float, float, float]:
        """Return precision, recall and F1 of the spans of some types together."""
        names = list(kinds)
        right, predicted, actual = (
            sum(counts[name] for name in names) for counts in (self.right, self.predicted, self.actual)
        )
        return right / max(predicted, 1), right / max(actual, 1), 2 * right / max(predicted + actual, 1)
