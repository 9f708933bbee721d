"""charlm copies: find what of a text is copied from the training text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import name_stdin_once, piped_input, require_files
from charlm.cli.sample import training_texts
from charlm.cli.tables import aligned, show, show_json, show_tsv
from charlm.config import TextConfig
from charlm.text.position import lines_and_columns
from charlm.text.reading import read_text

if TYPE_CHECKING:
    from charlm.text.copies import Copies

LENGTHS = (5, 10, 15, 20, 25, 30, 40, 50)
"""Lengths whose novelty the table shows."""
SHOWN_RUNS, SHOWN_CHARACTERS = 20, 60
"""Longest runs that the table shows, and characters of each."""

search_option = option_group("Search")


@click.command("copies", cls=Command)
@click.argument("file", required=False, type=options.INPUT, metavar="[FILE]")
@options.decoding
@options.model
@search_option("--corpus", type=options.PATH, multiple=True, metavar="FILE", show_default="files of the training",
               help="Search in this file. Repeatable.")  # fmt: skip
@search_option("--min-length", type=click.IntRange(10, 50), default=20, metavar="CHARACTERS",
               help="Report copies of at least this length.")  # fmt: skip
@options.records
@click.pass_context
def command(
    context: click.Context, file: Path | None, encoding: str | None, errors: str | None, model_path: Path,
    corpus: tuple[Path, ...], min_length: int, form: str | None,
) -> None:  # fmt: skip
    """Print how much of FILE is copied from the training text, and where the longest copies are.

    "-" is standard input. The training text is in the files that the model was trained on, or in --corpus, for which
    no model is needed. A substring is novel if the training text does not contain it.

    Examples:
      charlm copies story.txt
      charlm copies poem.txt --corpus corpus.txt --min-length 30 --json
    """
    from charlm.cli.records import copies_record, copy_record

    path = piped_input("name a file, or pipe a text into the command") if file is None else file
    name_stdin_once(path, *corpus)
    require_files([path, *corpus])
    paths, config = list(corpus), TextConfig(encoding=encoding or "utf-8", errors=errors or "strict")
    if not paths:
        model = options.open_model(model_path, encoding=encoding, errors=errors)
        paths, config = training_texts(model, None), model.text
    text = read_text(path, config)
    found = charlm.copies(text, paths, min_length=min_length, config=config)
    located = list(zip(found.runs, lines_and_columns(text, (run.index for run in found.runs)), strict=True))
    if form == "json":
        show_json([copies_record(found, str(path))])
    elif form == "tsv":
        head = ["line", "column", "index", "length", "text", "corpus", "corpus_index", "corpus_line", "places"]
        show_tsv(head, (list(copy_record(run, location).values()) for run, location in located))
    else:
        show(table(found, located))


def table(found: Copies, located: list[tuple[charlm.Copy, tuple[int, int]]]) -> Iterator[str]:
    """Yield the measures, the novelty by length, and the longest copies."""
    yield f"characters  {found.characters:,}"
    yield f"copied      {found.copied:,} ({found.fraction:.1%}), in runs of {found.min_length} characters or more"
    yield f"longest     {found.longest:,} characters"
    yield ""
    lengths = [length for length in LENGTHS if length <= len(found.novel)]
    yield from aligned([["length", *map(str, lengths)], ["novel", *(f"{found.novel[n - 1]:.1%}" for n in lengths)]])
    longest = sorted(located, key=lambda pair: -len(pair[0]))[:SHOWN_RUNS]
    if longest:
        yield ""
        rows = (
            [str(len(run)), f"{line}:{column}", f"{run.source}:{run.source_line}", str(run.places), shown(run.text)]
            for run, (line, column) in longest
        )
        yield from aligned([["length", "line", "copy of", "places", "text"], *rows])
    if len(located) > SHOWN_RUNS:
        yield f"... and {len(located) - SHOWN_RUNS:,} shorter ones; --tsv prints all"


def shown(text: str) -> str:
    """Return the start of a text in quotes."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")
