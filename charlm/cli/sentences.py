"""The sentences that `charlm tag` labels: lines of texts, or tokens in columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from charlm.cli.inputs import Inputs, lines_of
from charlm.config import TextConfig
from charlm.text.conll import read_sentences, split_tokens


class Sentence(NamedTuple):
    """A sentence to label.

    Attributes
    ----------
    text : as it is written; of columns, the tokens with spaces between
    tokens : offset and characters of each token
    columns : all columns of each token's line; the token alone for a text
    file, line : where it starts; None for an argument
    """

    text: str
    tokens: list[tuple[int, str]]
    columns: list[tuple[str, ...]]
    file: str | None
    line: int | None


def sentences(inputs: Inputs, text: TextConfig, *, has_columns: bool) -> Iterator[Sentence]:
    """Yield the sentences of texts, a line each, or of files of columns."""
    for source in inputs.sources:
        if has_columns and isinstance(source, Path):
            for tokens in read_sentences(source, text, min_columns=1):
                joined = " ".join(token.text for token in tokens)
                offset, placed = 0, []
                for token in tokens:
                    placed.append((offset, token.text))
                    offset += len(token.text) + 1
                yield Sentence(joined, placed, [token.columns for token in tokens], str(source), tokens[0].line)
        else:
            for line in lines_of(source, text):
                found = split_tokens(line.text)
                yield Sentence(line.text, found, [(token,) for _, token in found], line.file, line.line)
