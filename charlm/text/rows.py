"""Rows of labelled texts: a file of "label TAB text", or a file of texts whose name is their label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from charlm.config import TextConfig
from charlm.errors import CorpusError
from charlm.text.reading import name_of, read_chunks
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

STANDARD_INPUT = "-"


class Row(NamedTuple):
    """A text with its label, and the number of its line in the file, from 1."""

    label: str
    text: str
    line: int


def numbered_lines(chunks: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers, from 1, without their newlines."""
    rest, number = "", 0
    for chunk in chunks:
        if "\n" not in chunk:
            rest += chunk
            continue
        *lines, rest = (rest + chunk).split("\n")
        for line in lines:
            number += 1
            yield number, line
    if rest:
        yield number + 1, rest


def read_rows(path: str | PathLike[str], config: TextConfig, tuning: TextTuning = DEFAULT_TUNING) -> Iterator[Row]:
    """Yield the rows of a file; empty lines are left out.

    If the first line has a tab, each line is "label TAB text". If not, each line is a text, and the name of the file
    without its suffixes is the label.

    Raises
    ------
    CorpusError
        A line has no tab or no label.
    """
    has_labels: bool | None = None
    for number, line in numbered_lines(read_chunks(path, config, tuning)):
        if not line.strip():
            continue
        label, tab, text = line.partition("\t")
        if has_labels is None:
            has_labels = bool(tab)
            if not tab and str(path) == STANDARD_INPUT:
                raise CorpusError(f"{name_of(path)}: line {number} has no tab; expected: label TAB text")
        if not has_labels:
            yield Row(Path(path).name.partition(".")[0], line, number)
        elif not tab:
            raise CorpusError(f"{name_of(path)}: line {number} has no tab; expected: label TAB text")
        elif not label.strip():
            raise CorpusError(f"{name_of(path)}: line {number} has no label before its tab")
        else:
            yield Row(label.strip(), text, number)
