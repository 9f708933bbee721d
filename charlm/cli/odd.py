"""charlm odd: find the most surprising lines or characters of a text."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from itertools import tee
from pathlib import Path

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.inputs import read_lines
from charlm.cli.tables import aligned, excerpt, show
from charlm.text.position import line_and_column
from charlm.text.reading import read_text


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
    if spots:
        return show(aligned(odd_characters(model, file, n)))
    scores = lines_in_context(model, file) if in_context else single_lines(model, file, threads)
    found = nlargest(n, scores, key=lambda pair: pair[1].bits_per_char)
    rows = ([f"{score.bits_per_char:.3f}", str(number), score.text] for number, score in found)
    return show(aligned([["bits/char", "line", "text"], *rows]))


def single_lines(model: charlm.LanguageModel, file: Path, threads: int | None) -> Iterator[tuple[int, charlm.Score]]:
    """Yield the number and the score of each line that is not empty, scored without context."""
    lines, copy = tee((number, line) for number, line in enumerate(read_lines(file, model.text), 1) if line)
    scores = model.score_many((line for _, line in copy), threads=threads)
    return ((number, score) for (number, _), score in zip(lines, scores, strict=True))


def lines_in_context(model: charlm.LanguageModel, file: Path) -> Iterator[tuple[int, charlm.Score]]:
    """Yield the number and the score of each line that is not empty, given the line before it."""
    before = ""
    for number, line in enumerate(read_lines(file, model.text), 1):
        if line:
            yield number, model.score(line, context=before)
        before = line + "\n"


def odd_characters(model: charlm.LanguageModel, file: Path, n: int) -> Iterator[list[str]]:
    """Yield a table of the n most surprising characters, each with the most probable one.

    For a model of lines a newline is the end of its line; the ends of empty lines are skipped.
    """
    text = model.clean(read_text(file, model.text))
    scores = model.score_characters(text, end=False, alternatives=1)
    if model.text.lines:
        empty = ("\n", "\n\n")
        scores = (score for score in scores if text[max(score.offset - 1, 0) : score.offset + 1] not in empty)
    yield ["bits", "line", "column", "character", "expected", "where"]
    for score in nlargest(n, scores, key=lambda score: score.surprisal):
        location = map(str, line_and_column(text, score.offset))
        expected = score.alternatives[0][0] if score.alternatives else ""
        where = excerpt(text, score.offset, len(score.character))
        yield [f"{score.surprisal_bits:.2f}", *location, repr(score.character), repr(expected), where]
