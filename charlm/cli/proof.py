"""charlm proof: mark characters that do not fit, and propose others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import nlargest
from itertools import accumulate, tee
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.inputs import Inputs, NamedText
from charlm.cli.tables import aligned, excerpt, file_column, show
from charlm.text.position import lines_and_columns

if TYPE_CHECKING:
    from charlm.infilling.proofing import Suspect


class Found(NamedTuple):
    """A character that does not fit, its offset in the text, its line and column, and the text."""

    suspect: Suspect
    offset: int
    location: tuple[int, int]
    text: NamedText


@click.command("proof", cls=Command)
@options.documents
@options.decoding
@options.model
@options.output("-n", "n", type=options.COUNT, metavar="N", show_default="all", help="Print the N clearest suspects.")
@options.output("-k", "--best", type=click.IntRange(1), metavar="K", show_default="3, all with --json",
                help="Print K proposals for each.")  # fmt: skip
@options.output("--least", "min_gain", default=3.0, type=float, metavar="NATS",
               help="Print suspects whose best proposal gains this much.")  # fmt: skip
@options.records
def command(
    inputs: Inputs, encoding: str | None, errors: str | None,
    model_path: Path, n: int | None, best: int | None, min_gain: float, form: str | None,
) -> None:  # fmt: skip
    """Print the characters that do not fit the text on both sides of them: typos, OCR errors.

    For each: line and column, the nats that the best proposal gains over the characters nearby, and the proposals with
    their probabilities. Needs a model trained with --bidirectional. With several files, a column names the file.

    Examples:
      charlm proof --file scan.txt -n 50
      charlm proof --file scan.txt --least 5 --json
      charlm proof "the qiuck brown fox"
    """
    model = options.open_model(model_path, encoding=encoding, errors=errors)
    options.require_bidirectional(model)
    found: Iterable[Found] = suspects_of(model, inputs, min_gain)
    if n is not None:
        numbered = nlargest(n, enumerate(found), key=lambda pair: pair[1].suspect.gain)
        found = (one for _, one in sorted(numbered, key=lambda pair: pair[0]))
    if form:
        show_found(found, form, best, model.text.unit)
    else:
        show(aligned(table_of(found, best or 3, inputs)))


def suspects_of(model: charlm.LanguageModel, inputs: Inputs, min_gain: float) -> Iterator[Found]:
    """Yield the characters that do not fit, text by text, in order."""
    for given in inputs.documents(model.text):
        text = given._replace(text=model.clean(given.text))
        pieces = model.vocabulary.split(text.text)
        starts = list(accumulate(map(len, pieces), initial=0))
        suspects, copy = tee(model.proof(text.text, min_gain=min_gain))
        locations = lines_and_columns(text.text, (starts[suspect.index] for suspect in copy))
        for suspect, location in zip(suspects, locations, strict=True):
            written = replace(suspect, character=pieces[suspect.index])  # not UNK
            yield Found(written, starts[suspect.index], location, text)


def show_found(found: Iterable[Found], form: str, best: int | None, unit: str) -> None:
    """Print records with all proposals, or the `best` first ones."""
    from charlm.cli.records import show_records, suspect_record
    from charlm.infilling.proofing import Suspect

    records = (suspect_record(one.suspect, best, one.offset, one.location, one.text, unit) for one in found)
    show_records(records, form, suspect_record(Suspect(0, "", 0.0, ()), best, 0, (1, 1), NamedText(""), unit))


def table_of(found: Iterable[Found], best: int, inputs: Inputs) -> Iterator[list[str]]:
    """Yield the rows of a table, the titles first."""
    yield [*file_column(inputs), "line", "column", "gain/nats", "proposals", "where"]
    for suspect, offset, location, text in found:
        yield [
            *file_column(inputs, text),
            *map(str, location),
            f"{suspect.gain:.2f}",
            "  ".join(f"{c!r} {p:.0%}" for c, p in suspect.candidates[:best]),
            excerpt(text.text, offset, len(suspect.character)),
        ]
