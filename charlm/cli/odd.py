"""charlm odd: find the most surprising lines or characters of a text."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from itertools import chain
from pathlib import Path

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.exit_codes import DONE, FOUND
from charlm.cli.inputs import Inputs, NamedText, each_with, lines_of
from charlm.cli.tables import aligned, excerpt, file_column, show
from charlm.cli.terminal import warn
from charlm.text.position import line_and_column


@click.command("odd", cls=Command)
@options.documents
@options.input("--context/--no-context", "in_context", default=False, help="Score each line given the line before it.")
@options.decoding
@options.model
@options.output("-n", "n", default=10, type=options.COUNT, metavar="N", help="Print N lines or characters.")
@options.output("--spots", is_flag=True, help="Print single characters, with line and column, instead of lines.")
@options.output("-k", "--best", default=1, type=click.IntRange(0), metavar="K",
                help="Print K alternatives of each character of --spots.")  # fmt: skip
@options.output("--fail-over", type=float, metavar="BITS",
                help="Exit with code 3 if a line has more than BITS/char, or a spot more than BITS.")  # fmt: skip
@options.records
@options.threads
def command(
    inputs: Inputs, in_context: bool, encoding: str | None, errors: str | None, model_path: Path, threads: int | None,
    n: int, spots: bool, best: int, fail_over: float | None, form: str | None,
) -> int:  # fmt: skip
    """Print the lines with the highest surprisal per character, or with --spots the most surprising characters.

    Surprisal is -log2 p, in bits. Empty lines are skipped. With several files, a column names the file.

    Examples:
      charlm odd --file server.log -n 20
      charlm odd --file names.txt --fail-over 6 -q
      charlm odd --spots -n 1 "the qick brown fox"
    """
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    if spots:
        characters = nlargest(n, odd_characters(model, inputs, best), key=by_surprisal)
        show_characters(characters, inputs, model, form)
        highest = max((score.surprisal_bits for score, _ in characters), default=0.0)
    else:
        scores = lines_in_context(model, inputs) if in_context else single_lines(model, inputs, threads)
        lines = nlargest(n, scores, key=lambda pair: pair[1].bits_per_char)
        show_lines(lines, inputs, model, form)
        highest = max((score.bits_per_char for _, score in lines), default=0.0)
    if fail_over is None or highest <= fail_over:
        return DONE
    warn(f"the highest surprisal is {highest:.3f} bits, more than --fail-over {fail_over:g}")
    return FOUND


def single_lines(
    model: charlm.LanguageModel, inputs: Inputs, threads: int | None
) -> Iterator[tuple[NamedText, charlm.Score]]:
    """Yield each line that is not empty with its score, without context."""
    lines = chain.from_iterable(lines_of(source, model.text) for source in inputs.sources)
    return each_with((line for line in lines if line.text), lambda texts: model.score_many(texts, threads=threads))


def lines_in_context(model: charlm.LanguageModel, inputs: Inputs) -> Iterator[tuple[NamedText, charlm.Score]]:
    """Yield each line that is not empty with its score, given the line before it."""
    for source in inputs.sources:
        before = ""
        for line in lines_of(source, model.text):
            if line.text:
                yield line, model.score(line.text, context=before)
            before = line.text + "\n"


def show_lines(
    found: list[tuple[NamedText, charlm.Score]], inputs: Inputs, model: charlm.LanguageModel, form: str | None
) -> None:
    """Print lines with their scores."""
    from charlm.cli.records import score_record, show_records

    if form:
        unit = model.text.unit
        records = (score_record(score, line, unit, is_new=True) for line, score in found)
        return show_records(records, form, score_record(charlm.Score(), NamedText(""), unit, is_new=True))
    rows = (
        [f"{score.bits_per_char:.3f}", *file_column(inputs, line), str(line.line), score.text] for line, score in found
    )
    return show(aligned([[f"bits/{model.text.unit}", *file_column(inputs), "line", "text"], *rows]))


def odd_characters(
    model: charlm.LanguageModel, inputs: Inputs, best: int
) -> Iterator[tuple[charlm.CharScore, NamedText]]:
    """Yield the scores of the characters of each text.

    For a model of lines a newline is the end of its line, and the last line has an end, too; the ends of empty lines
    are skipped.
    """
    for given in inputs.documents(model.text):
        text = model.clean(given.text)
        if model.text.lines and text and not text.endswith("\n"):
            text += "\n"
        named = given._replace(text=text)
        scores = model.score_characters(text, end=False, alternatives=best)
        if model.text.lines:
            empty = ("\n", "\n\n")
            scores = (score for score in scores if text[max(score.offset - 1, 0) : score.offset + 1] not in empty)
        yield from ((score, named) for score in scores)


def by_surprisal(found: tuple[charlm.CharScore, NamedText]) -> float:
    """Return the surprisal of a character."""
    return found[0].surprisal


def show_characters(
    found: list[tuple[charlm.CharScore, NamedText]], inputs: Inputs, model: charlm.LanguageModel, form: str | None
) -> None:
    """Print characters with the most probable ones."""
    from charlm.cli.records import character_record, show_records

    located = [(score, line_and_column(text.text, score.offset), text) for score, text in found]
    if form:
        unit = model.text.unit
        example = character_record(charlm.CharScore("", 0, 0.0, 1), (1, 1), NamedText(""), unit)
        return show_records((character_record(*one, unit) for one in located), form, example)
    rows = (
        [
            f"{score.surprisal_bits:.2f}",
            *file_column(inputs, text),
            *map(str, location),
            repr(score.character),
            " ".join(shown(other, model) for other, _ in score.alternatives) or repr(""),
            excerpt_of(score, location[1], text.text, model),
        ]
        for score, location, text in located
    )
    head = ["bits", *file_column(inputs), "line", "column", "character", "expected", "where"]
    return show(aligned([head, *rows]))


def shown(token: str, model: charlm.LanguageModel) -> str:
    """Return a token in quotes; for a model of lines EOS is a newline, as in its texts."""
    is_end = model.text.lines and token == model.vocabulary.tokens[model.vocabulary.eos]
    return repr("\n" if is_end else token)


def excerpt_of(score: charlm.CharScore, column: int, text: str, model: charlm.LanguageModel) -> str:
    """Return a character in brackets, with the text around it; for a model of lines, with its line."""
    start = score.offset
    if model.text.lines:
        text, start = text[start - column + 1 : text.index("\n", start) + 1], column - 1
    return excerpt(text, start, len(score.character))
