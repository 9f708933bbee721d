"""charlm odd: find the most surprising lines or characters of a text."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.inputs import read_lines, read_text
from charlm.cli.tables import aligned, excerpt, show
from charlm.text.position import line_and_column

if TYPE_CHECKING:
    from charlm.model import LanguageModel
    from charlm.scoring.score import Score


@click.command("odd", cls=Command)
@options.file
@options.input("--context/--no-context", "in_context", default=False, help="Read each line after the one before it.")
@options.decoding
@options.model
@options.output("-n", "n", default=10, type=options.COUNT, metavar="N", help="Print N lines or characters.")
@options.output("--spots", is_flag=True, help="Print single characters, with line and column, instead of lines.")
@options.threads
def command(
    file: Path, in_context: bool, encoding: str | None, errors: str | None,
    model_path: Path, threads: int | None, n: int, spots: bool,
) -> None:  # fmt: skip
    """Print the lines of FILE with the highest surprisal per character, or with --spots its characters.

    Surprisal is -log2 p, in bits. Empty lines are skipped.

    Examples:
      charlm odd server.log -n 20
      charlm odd article.txt --spots
    """
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    show(aligned(odd_characters(model, file, n) if spots else odd_lines(model, file, n, in_context, threads)))


def odd_lines(model: LanguageModel, file: Path, n: int, in_context: bool, threads: int | None) -> Iterator[list[str]]:
    """Yield a table of the n lines with the most bits per character."""
    scores = lines_in_context(model, file) if in_context else single_lines(model, file, threads)
    yield ["bits/char", "line", "text"]
    for number, score in nlargest(n, scores, key=lambda pair: pair[1].bits_per_char):
        yield [f"{score.bits_per_char:.3f}", str(number), score.text]


def single_lines(model: LanguageModel, file: Path, threads: int | None) -> Iterator[tuple[int, Score]]:
    """Yield the number and the score of each line that is not empty, scored without context."""
    lines, copy = tee((number, line) for number, line in enumerate(read_lines(file, model.text), 1) if line)
    scores = model.score_many((line for _, line in copy), threads=threads)
    return ((number, score) for (number, _), score in zip(lines, scores, strict=True))


def lines_in_context(model: LanguageModel, file: Path) -> Iterator[tuple[int, Score]]:
    """Yield the number and the score of each line that is not empty, given the line before it."""
    before = ""
    for number, line in enumerate(read_lines(file, model.text), 1):
        if line:
            yield number, model.score(line, context=before)
        before = line + "\n"


def odd_characters(model: LanguageModel, file: Path, n: int) -> Iterator[list[str]]:
    """Yield a table of the n most surprising characters, each with the most probable one.

    For a model of lines a newline is the end of its line; the ends of empty lines are skipped.
    """
    text = model.clean(read_text(file, model.text))
    scores = model.score_characters(text, end=False, alternatives=1)
    if model.text.lines:
        scores = (score for score in scores if not is_empty_line(text, score.offset))
    yield ["bits", "line", "column", "character", "expected", "where"]
    for score in nlargest(n, scores, key=lambda score: score.surprisal):
        line, column = line_and_column(text, score.offset)
        expected = score.alternatives[0][0] if score.alternatives else ""
        where = excerpt(text, score.offset, score.offset + len(score.character))
        yield [f"{score.surprisal_bits:.2f}", str(line), str(column), repr(score.character), repr(expected), where]


def is_empty_line(text: str, offset: int) -> bool:
    """Return whether the character at an offset is the newline of an empty line."""
    return text[offset] == "\n" and text[offset - 1 : offset] in ("", "\n")
