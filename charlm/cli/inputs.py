"""The texts that a command reads: arguments, files, standard input; as a whole or line by line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import click

import charlm
from charlm.cli.terminal import warn
from charlm.config import TextConfig
from charlm.errors import UnknownCharacterError
from charlm.text.reading import read_chunks, read_text


def require_texts(texts: Sequence[str], files: Sequence[Path]) -> None:
    """Raise UsageError if neither a text nor a file is given."""
    if not texts and not files:
        raise click.UsageError("no text is given; pass a TEXT, or --file FILE")


def read_texts(texts: Sequence[str], files: Iterable[Path], by_line: bool, config: TextConfig) -> Iterator[str]:
    """Yield the texts in order: first the arguments, then the files.

    Lines are yielded while the file is read, so that a slow source gets early answers. An empty line is a text.
    For a model of lines, the newline at the end of a file is not part of its text.

    Parameters
    ----------
    texts : arguments of the command
    files : paths of files
    by_line : whether each line of a file is a text
    config : how to decode files
    """
    warn_of_file_names(texts)
    yield from texts
    for path in files:
        if by_line:
            yield from read_lines(path, config)
        else:
            text = read_text(path, config)
            yield text.removesuffix("\n") if config.lines else text


def warn_of_file_names(texts: Iterable[str]) -> None:
    """Warn if a text is the name of a file, or "-", and print the flags that read the file."""
    names = [text for text in texts if text == "-" or os.path.isfile(text)]
    flags = " ".join(f"--file {shlex.quote(name)}" for name in names[:3]) + " ..." * (len(names) > 3)
    if names:
        others = f" and {len(names) - 1:,} more" * (len(names) > 1)
        warn(f"{names[0]!r}{others}: read as text, not as a file name; to read the contents, pass {flags}")


def read_lines(path: Path, config: TextConfig) -> Iterator[str]:
    """Yield the lines of a file without their newlines."""
    rest = ""
    for chunk in read_chunks(path, config):
        rest += chunk
        if "\n" in chunk:
            *lines, rest = rest.split("\n")
            yield from lines
    if rest:
        yield rest


def read_groups(path: Path, config: TextConfig) -> Iterator[tuple[str, list[str]]]:
    """Yield (group, candidates) from a file of lines "group TAB candidate"; a group is a run of lines of one name.

    A line without a tab is a group with one candidate, its own text; a warning reports it.
    """

    def pairs() -> Iterator[tuple[str, str]]:
        for number, line in enumerate(read_lines(path, config), 1):
            name, tab, candidate = line.partition("\t")
            if not tab:
                warn(f"{path}: line {number} has no tab; ranked alone")
            yield name, candidate if tab else line

    for name, run in groupby(pairs(), itemgetter(0)):
        yield name, [candidate for _, candidate in run]


def refuse_unknown(model: charlm.LanguageModel, texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts; raise UnknownCharacterError at the first one with a character outside the vocabulary."""
    for text in texts:
        try:
            model.refuse_unknown(text)
        except UnknownCharacterError as error:
            raise UnknownCharacterError(f"{error}; leave out --strict to read it as UNK") from None
        yield text
