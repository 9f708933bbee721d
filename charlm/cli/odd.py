"""charlm odd: find what does not fit."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import Command
from charlm.cli.inputs import lines_of, whole
from charlm.cli.options import decoding_options, model_option, open_model, threads_option
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import escape
from charlm.text.position import line_and_column

if TYPE_CHECKING:
    from charlm.model import LanguageModel

AROUND = 20
"""Characters shown on each side of a spot."""


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@model_option
@click.option("-n", "n", default=10, show_default=True, type=click.IntRange(1), metavar="N", help="How many to print.")
@click.option("--spots", is_flag=True, help="Print single characters, with line and column, rather than lines.")
@click.option("--context/--no-context", "in_context", default=False,
              help="Read each line behind the one before it.  [default: each by itself]")  # fmt: skip
@threads_option
@decoding_options
def command(
    file: Path,
    model_path: Path,
    n: int,
    spots: bool,
    in_context: bool,
    threads: int | None,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Print the lines of FILE with the highest surprisal per character, or the most surprising --spots.

    Surprisal is -log2 p, in bits. Empty lines are passed over.
    """
    model = open_model(model_path, threads, encoding=encoding, errors=errors)
    rows = odd_spots(model, file, n) if spots else odd_lines(model, file, n, in_context, threads)
    show(aligned(rows))


def odd_lines(model: LanguageModel, file: Path, n: int, in_context: bool, threads: int | None) -> list[list[str]]:
    """Return a table of the n lines that cost most bits per character."""

    def scored() -> Iterator[tuple[float, int, str]]:
        if in_context:
            before = ""
            for number, line in enumerate(lines_of(file, model.text), 1):
                if line:
                    yield model.score(line, context=before).bits_per_char, -number, line
                before = line + "\n"
            return
        numbers: list[int] = []

        def lines() -> Iterator[str]:
            for number, line in enumerate(lines_of(file, model.text), 1):
                if line:
                    numbers.append(number)
                    yield line

        for place, score in enumerate(model.score_many(lines(), threads=threads)):
            yield score.bits_per_char, -numbers[place], score.text

    worst = heapq.nlargest(n, scored())
    return [["bits/char", "line", "text"], *([f"{b:.3f}", str(-number), escape(t)] for b, number, t in worst)]


def odd_spots(model: LanguageModel, file: Path, n: int) -> list[list[str]]:
    """Return a table of the n most surprising characters, each with what was expected instead.

    In a model of lines, a newline is the end of its line.
    """
    text = model.clean(whole(file, model.text))
    scores = model.score_characters(text, end=False, alternatives=1)
    if model.text.lines:
        scores = (score for score in scores if not is_empty_line(text, score.offset))
    worst = heapq.nlargest(n, scores, key=lambda score: score.surprisal)
    rows = [["bits", "line", "column", "character", "expected", "where"]]
    for score in worst:
        at = score.offset
        line, column = line_and_column(text, at)
        expected = score.alternatives[0][0] if score.alternatives else ""
        behind = at + len(score.character)
        where = f"{text[max(at - AROUND, 0) : at]}[{score.character}]{text[behind : behind + AROUND]}"
        row = [f"{score.surprisal_bits:.2f}", str(line), str(column), repr(score.character), repr(expected), where]
        rows.append([escape(cell) for cell in row])
    return rows


def is_empty_line(text: str, offset: int) -> bool:
    """Return whether the character at an offset is the newline of an empty line."""
    return text[offset] == "\n" and text[offset - 1 : offset] in ("", "\n")
