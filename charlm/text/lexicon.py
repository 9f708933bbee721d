"""How often each form of a word occurs in a text: "byt" and "být" are forms of "byt", a word without marks.

Words are in small letters: a capital depends on the place of a word, which a network knows better than counts. A
network knows how words are built, and their context; the counts know rare words that it has not learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from re import finditer
from typing import NamedTuple

from charlm.text.stripping import Label, Stripper, is_mark

STRIPPER = Stripper(["marks"])
MAX_FORMS = 100_000
"""Forms of a text that are kept, the most frequent ones."""


class Form(NamedTuple):
    """A form of a word: the label of each character, and how often the form occurs."""

    labels: tuple[Label, ...]
    frequency: int


def words_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the characters of each word: from its first to its last letter, between spaces."""
    edges = "".join(character for character in set(text) if not (character.isalpha() or is_mark(character)))
    for match in finditer(r"\S+", text):
        rest = match.group().lstrip(edges)
        if word := rest.rstrip(edges):
            yield match.end() - len(rest), word


def count_forms(texts: Iterable[str]) -> dict[str, int]:
    """Count the words of texts; the most frequent ones are kept, in the order of their counts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for _, word in words_in(text.lower()))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:MAX_FORMS])


class Lexicon:
    """The forms of words without marks.

    Parameters
    ----------
    counts : mapping of str to int
        How often each form occurs, as from `count_forms`.

    Examples
    --------
    >>> [form.frequency for form in Lexicon({"byt": 3, "být": 20}).forms("Byt")]
    [3, 20]
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts: dict[str, dict[str, int]] = {}  # word without marks -> form -> count
        for form, count in counts.items():
            self._counts.setdefault(STRIPPER.strip(form), {})[form] = count

    def __bool__(self) -> bool:
        return bool(self._counts)

    def forms(self, word: str) -> list[Form]:
        """Return the forms of a word without marks; each has a label for each of its characters."""
        found = [
            Form(tuple(map(STRIPPER.label, STRIPPER.units(form))), count)
            for form, count in self._counts.get(word.lower(), {}).items()
        ]
        return [form for form in found if len(form.labels) == len(word)]
