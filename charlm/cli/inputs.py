"""Texts that commands read: arguments, files, standard input; whole or line by line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.config import TextConfig


def texts_from(arguments: Iterable[str], files: Iterable[Path], by_line: bool, config: TextConfig) -> Iterator[str]:
    """Yield the texts in order: arguments first, then the files, each a text or, `by_line`, each of its lines.

    Lines come as they are read, so that a slow source gets its answers early. An empty line is a text, too.
    In a model of lines, the newline at the end of a file is no part of its text: the last line needs none.
    """
    arguments = list(arguments)
    warn_of_file_names(arguments)
    yield from arguments
    for path in files:
        if by_line:
            yield from lines_of(path, config)
        else:
            text = whole(path, config)
            yield text.removesuffix("\n") if config.lines else text


def warn_of_file_names(arguments: Iterable[str]) -> None:
    """Say how to read a file, or standard input, where an argument that is taken as text names one."""
    named = [text for text in arguments if text == "-" or os.path.isfile(text)]
    if not named:
        return
    flags = " ".join(f"--file {shlex.quote(name)}" for name in named[:3]) + " ..." * (len(named) > 3)
    if len(named) > 1:
        warn(f"{named[0]!r} and {len(named) - 1:,} more names of files are taken as text; to read the files: {flags}")
    else:
        what = "standard input" if named == ["-"] else "the file"
        warn(f"{named[0]!r} is taken as text; to read {what}: {flags}")


def whole(path: Path, config: TextConfig) -> str:
    """Return the text of a file."""
    from charlm.text.reading import read_text

    return read_text(path, config)


def lines_of(path: Path, config: TextConfig) -> Iterator[str]:
    """Yield the lines of a file without their ends; a last line needs none."""
    from charlm.text.reading import read_chunks

    rest: list[str] = []  # pieces of a line that continues
    for chunk in read_chunks(path, config):
        first, *others = chunk.split("\n")
        rest.append(first)
        if others:
            yield "".join(rest)
            yield from others[:-1]
            rest = others[-1:]
    if any(rest):
        yield "".join(rest)


def groups_from_tsv(lines: Iterable[str], name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (group, candidates) from lines "group TAB candidate"; a group is a run of lines of one name.

    A line without a tab is a group of its own, under its own text; it is reported, and not lost.
    """
    group: str | None = None
    candidates: list[str] = []
    for number, line in enumerate(lines, 1):
        key, tab, candidate = line.partition("\t")
        if not tab:
            warn(f"{name}: line {number} has no tab; ranked alone")
            candidate = line
        if group is not None and key != group:
            yield group, candidates
            candidates = []
        group = key
        candidates.append(candidate)
    if group is not None:
        yield group, candidates
