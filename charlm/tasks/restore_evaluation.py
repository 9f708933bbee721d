"""How much of a text is right after it was stripped and restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee

from charlm.tasks.restore import TO_LAST_NEWLINE, Restorer
from charlm.text.reading import regroup
from charlm.text.stripping import KINDS, Label, Stripper


@dataclass
class Counts:
    """Characters that have something of a kind: in the text, in the restored text, and the same in both."""

    actual: int = 0
    predicted: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """The fraction of the restored ones that are right."""
        return self.right / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        """The fraction of those in the text that are restored."""
        return self.right / max(self.actual, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.right / max(self.actual + self.predicted, 1)


class Evaluation:
    """Counts of words and of each kind that is removed, over all texts that were added.

    A word is a run of characters between spaces of the original text, with a letter in it. It is right if each of its
    characters is, with the spaces and punctuation after it.

    Parameters
    ----------
    stripper : Stripper
        Removes the kinds.

    Attributes
    ----------
    words, right, unchanged : int
        Words; those that are right; and those that are right if nothing is restored.
    kinds : dict of str to Counts
        For each kind that is removed.
    """

    def __init__(self, stripper: Stripper) -> None:
        self.stripper = stripper
        self.words = self.right = self.unchanged = 0
        self.kinds = {kind: Counts() for kind in KINDS if kind in stripper.kinds}

    def add(self, restorer: Restorer, chunks: Iterable[str], min_probability: float = 0.0) -> None:
        """Strip a text, restore it, and count."""
        parts, copy = tee(regroup(chunks, TO_LAST_NEWLINE))
        stripped = map(self.stripper.strip, parts)
        found = self._units(part.text for part in restorer.restore(stripped, min_probability))
        has_letter, is_right, is_same = False, True, True
        for unit, new in zip(self._units(copy), found, strict=True):
            label, guess = self.stripper.label(unit), self.stripper.label(new)
            self._count(label, guess)
            if not unit[0].isspace():
                has_letter = has_letter or unit[0].isalpha()
                is_right, is_same = is_right and unit == new, is_same and self.stripper.strip(unit) == unit
            if unit[0].isspace() or " " in label.trailing:
                self._end_word(has_letter, is_right, is_same)
                has_letter, is_same = False, True
                is_right = label.trailing == guess.trailing  # a missing space makes both words wrong
        self._end_word(has_letter, is_right, is_same)

    def _units(self, parts: Iterable[str]) -> Iterator[str]:
        """Yield the units of a text that have a character that stays."""
        for part in parts:
            yield from (unit for unit in self.stripper.units(part) if not self.stripper.is_removed(unit[0]))

    def _count(self, label: Label, guess: Label) -> None:
        """Count what a character has and what it got."""
        for kind, counts in self.kinds.items():
            actual, predicted = of_kind(label, kind), of_kind(guess, kind)
            counts.actual += bool(actual)
            counts.predicted += bool(predicted)
            counts.right += bool(actual) and actual == predicted

    def _end_word(self, has_letter: bool, is_right: bool, is_same: bool) -> None:
        self.words += has_letter
        self.right += has_letter and is_right
        self.unchanged += has_letter and is_same


def of_kind(label: Label, kind: str) -> object:
    """Return what a label says of a kind; a false value for nothing."""
    if kind == "marks":
        return (label.variant, label.marks) if label.variant or label.marks else None
    if kind == "case":
        return label.is_upper
    if kind == "spaces":
        return " " in label.trailing
    return label.trailing.replace(" ", "")
