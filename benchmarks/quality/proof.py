"""Proof-reading: precision and recall of the marks on lines with one slip each."""

from __future__ import annotations

import string
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import lines_from_end
from charlm.infilling.tuning import DEFAULT_TUNING
from charlm.text.words import changed_span

KINDS = ("substitution", "insertion", "deletion", "transposition")
"""Kinds of slips; the correction of an inserted letter is a deletion."""


class Slip(NamedTuple):
    """A line with a slip, the line without it, and the bounds of the wrong word."""

    kind: str
    line: str
    right: str
    start: int
    stop: int


def with_slip(line: str, kind: str, rng: np.random.Generator) -> Slip:
    """Replace, insert or omit a letter, or transpose two different ones; new letters have the case of the old."""
    is_letter = [c in string.ascii_letters for c in line]
    if kind == "transposition":
        pairs = zip(is_letter, is_letter[1:], line, line[1:], strict=False)
        indices = [k for k, (one, other, c, d) in enumerate(pairs) if one and other and c != d]
    else:
        indices = [k for k, one in enumerate(is_letter) if one]
    start = int(rng.choice(indices))
    letters = string.ascii_lowercase if line[start].islower() else string.ascii_uppercase
    new = str(rng.choice([c for c in letters if c != line[start]]))
    old, new = {
        "substitution": (line[start], new),
        "insertion": ("", new),
        "deletion": (line[start], ""),
        "transposition": (line[start : start + 2], line[start : start + 2][::-1]),
    }[kind]
    wrong = line[:start] + new + line[start + len(old) :]
    return Slip(kind, wrong, line, *changed_span(wrong, start, start + len(new), old))


class Mark(NamedTuple):
    """A mark of `proof`: its gain, its bounds, and the line with the first proposal."""

    gain: float
    start: int
    stop: int
    text: str


class Tally:
    """Counts of lines, marks, right marks, and lines with a right mark."""

    lines = marks = right = found = restored = first = first_restored = 0

    def add(self, slip: Slip, marks: list[Mark]) -> None:
        """Count the marks of a line."""
        right = [mark for mark in marks if mark.start < slip.stop and mark.stop > slip.start]
        self.lines += 1
        self.marks += len(marks)
        self.right += len(right)
        self.found += bool(right)
        self.restored += any(mark.text == slip.right for mark in right)
        clearest = max(marks, default=None)
        if clearest in right:
            self.first += 1
            self.first_restored += clearest.text == slip.right

    def print(self, name: str) -> None:
        """Print a row of the table."""
        rates = (self.right / max(self.marks, 1), self.found / self.lines, self.restored / self.lines)
        first = (self.first / self.lines, self.first_restored / max(self.first, 1))
        print(f"{name:13} {self.lines:5} {self.marks:5}", *(f"{rate:10.1%}" for rate in (*rates, *first)))


@click.command()
@click.option("-m", "--model", "path", type=click.Path(path_type=Path), required=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--held-out", default=0.1, show_default=True, help="Fraction at the end of the text to take lines from.")
@click.option("--n", default=500, show_default=True, help="Number of lines.")
@click.option("--least", default=DEFAULT_TUNING.min_gain, show_default=True, help="Minimum gain of a mark in nats.")
@click.option("--seed", default=0, show_default=True, help="Choose the lines and the slips.")
def main(path: Path, text: Path, held_out: float, n: int, least: float, seed: int) -> None:
    """Measure the marks of `proof` on lines with one slip each, a quarter of the lines for each kind of slip.

    A mark is right if it covers the wrong word. "restored": the first proposal of a right mark gives the line without
    the slip. "first": the mark with the largest gain is right; "of these": its first proposal restores the line.
    """
    print(describe_machine())
    lines = lines_from_end(text.read_text(encoding="utf-8"), held_out, n, seed)
    rng = np.random.default_rng(seed + 2)
    slips = [with_slip(line, KINDS[k % len(KINDS)], rng) for k, line in enumerate(lines)]
    model = charlm.load(path)
    tallies = {kind: Tally() for kind in (*KINDS, "all")}
    started = time.process_time()
    for slip in slips:
        marks = marks_of(model, slip.line, least)
        for kind in (slip.kind, "all"):
            tallies[kind].add(slip, marks)
    seconds, characters = time.process_time() - started, sum(len(slip.line) for slip in slips)
    print(f"{seconds:.0f} s of CPU time, {characters / seconds:,.0f} characters per second")
    titles = ("precision", "recall", "restored", "first", "of these")
    print(f"{'slip':13} lines marks", *(f"{title:>10}" for title in titles))
    for name, tally in tallies.items():
        tally.print(name)


def marks_of(model: charlm.LanguageModel, line: str, least: float) -> list[Mark]:
    """Return the marks of a line."""
    return [
        Mark(s.gain, s.start, s.start + len(s.word), line[: s.start] + s.replacement + line[s.start + len(s.word) :])
        for s in model.proof(line, min_gain=least)
    ]


if __name__ == "__main__":
    main()
