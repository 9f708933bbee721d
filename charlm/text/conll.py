"""Sentences from files in CoNLL form: a token and its columns in each line, an empty line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import NamedTuple

from charlm.config import TextConfig
from charlm.errors import CorpusError
from charlm.text.reading import name_of, read_chunks
from charlm.text.rows import numbered_lines
from charlm.text.tuning import DEFAULT_TUNING, TextTuning

TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s]|_")
"""A word with inner apostrophes, a number, or a punctuation mark."""


class Token(NamedTuple):
    """A token of a sentence: all columns of its line, the token first, and the number of the line, from 1."""

    columns: tuple[str, ...]
    line: int

    @property
    def text(self) -> str:
        """The token, in the first column."""
        return self.columns[0]

    @property
    def label(self) -> str:
        """The label, in the last column."""
        return self.columns[-1]


def split_tokens(text: str) -> list[tuple[int, str]]:
    """Split a text into tokens: words, numbers and punctuation marks, each with its offset.

    >>> split_tokens("It's Ann.")
    [(0, "It's"), (5, 'Ann'), (8, '.')]
    """
    return [(found.start(), found[0]) for found in TOKEN.finditer(text)]


def read_sentences(
    path: str | PathLike[str], config: TextConfig, tuning: TextTuning = DEFAULT_TUNING, *, min_columns: int = 2
) -> Iterator[list[Token]]:
    """Yield the sentences of a file.

    Columns are separated by tabs if the first line of a token has one, else by spaces. With tabs, a line that begins
    with "#" and has no tab is a comment.

    Parameters
    ----------
    path : path
        The file; "-" is standard input.
    config : TextConfig
        Encoding, handling of invalid bytes, normal form.
    min_columns : int
        Columns that each line needs: 2 for tokens with labels, 1 for tokens alone.

    Raises
    ------
    CorpusError
        A line has too few columns, or an empty token or label.
    """
    name = name_of(path)
    for sentence in split_sentences(numbered_lines(read_chunks(path, config, tuning))):
        for token in sentence:
            if len(token.columns) < min_columns:
                raise CorpusError(f"{name}: line {token.line} has one column; expected: token TAB label")
            if not token.text.strip():
                raise CorpusError(f"{name}: line {token.line} has an empty token in its first column")
            if min_columns > 1 and not token.label.strip():
                raise CorpusError(f"{name}: line {token.line} has an empty label in its last column")
        yield sentence


def split_sentences(lines: Iterable[tuple[int, str]]) -> Iterator[list[Token]]:
    """Yield the sentences of numbered lines; each has a token or more."""
    has_tabs: bool | None = None
    sentence: list[Token] = []
    for number, line in lines:
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        if has_tabs is not False and line.startswith("#") and "\t" not in line:
            continue
        has_tabs = "\t" in line if has_tabs is None else has_tabs
        sentence.append(Token(tuple(line.split("\t") if has_tabs else line.split()), number))
    if sentence:
        yield sentence
