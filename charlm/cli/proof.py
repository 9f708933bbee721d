"""charlm proof: mark words that do not fit, and propose others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from itertools import accumulate, chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.exit_codes import DONE, FOUND
from charlm.cli.inputs import Inputs, NamedText
from charlm.cli.tables import CONTEXT, aligned, file_column
from charlm.cli.terminal import escape, for_output, shows_colors
from charlm.infilling.tuning import DEFAULT_TUNING
from charlm.text.position import lines_and_columns

if TYPE_CHECKING:
    from charlm.infilling.proofing import Suspect


class Found(NamedTuple):
    """A word that does not fit, the offsets of the edit and of the word, line and column of the edit, and the text."""

    suspect: Suspect
    offset: int
    word_offset: int
    location: tuple[int, int]
    text: NamedText


@click.command("proof", cls=Command)
@options.documents
@options.decoding
@options.model
@options.output("-n", "n", type=options.COUNT, metavar="N", show_default="all", help="Print the N clearest suspects.")
@options.output("-k", "--best", type=click.IntRange(1), metavar="K", show_default="3, all with --json",
                help="Print K proposals for each.")  # fmt: skip
@options.output("--least", "min_gain", default=DEFAULT_TUNING.min_gain, type=float, metavar="NATS",
                show_default=True, help="Print suspects whose best proposal gains more than this.")  # fmt: skip
@options.output("--fail", is_flag=True, help="Exit with code 3 if there is a suspect.")
@options.records
def command(
    inputs: Inputs, encoding: str | None, errors: str | None,
    model_path: Path, n: int | None, best: int | None, min_gain: float, fail: bool, form: str | None,
) -> int:  # fmt: skip
    """Print the words that do not fit the text on both sides of them: typos, OCR errors.

    A proposal replaces, inserts or deletes one character, or transposes two. Prints for each word the line and column
    of the change, the log-probability in nats that the best proposal gains, and the proposals with their
    probabilities. Needs a model trained with --bidirectional. With several files, a column names the file.

    Examples:
      charlm proof --file scan.txt -n 50
      charlm proof --file scan.txt --least 5 --fail
      charlm proof "the qiuck brown fox"
    """
    model = options.open_model(model_path, encoding=encoding, errors=errors)
    options.require_bidirectional(model)
    found: Iterable[Found] = suspects_of(model, inputs, min_gain)
    if n is not None:
        numbered = nlargest(n, enumerate(found), key=lambda pair: pair[1].suspect.gain)
        found = (one for _, one in sorted(numbered, key=lambda pair: pair[0]))
    found = iter(found)
    first = list(islice(found, 1))
    found = chain(first, found)
    if form:
        show_found(found, form, best, model.text.unit)
    else:
        show_table(list(found), best or 3, inputs)
    return FOUND if fail and first else DONE


def suspects_of(model: charlm.LanguageModel, inputs: Inputs, min_gain: float) -> Iterator[Found]:
    """Yield the words that do not fit, text by text, in order."""
    for given in inputs.documents(model.text):
        text = given._replace(text=model.clean(given.text))
        offsets = list(accumulate(map(len, model.vocabulary.split(text.text)), initial=0))
        suspects, copy = tee(model.proof(text.text, min_gain=min_gain))
        locations = lines_and_columns(text.text, (offsets[suspect.index] for suspect in copy))
        for suspect, location in zip(suspects, locations, strict=True):
            yield Found(suspect, offsets[suspect.index], offsets[suspect.start], location, text)


def show_found(found: Iterable[Found], form: str, best: int | None, unit: str) -> None:
    """Print records with all proposals, or the `best` first ones."""
    from charlm.cli.records import show_records, suspect_record
    from charlm.infilling.proofing import Proposal, Suspect

    records = (suspect_record(one.suspect, best, one.offset, one.location, one.text, unit) for one in found)
    example = Suspect(0, "", 0.0, 0, "", (Proposal("", 0.0, "", ""),))
    show_records(records, form, suspect_record(example, best, 0, (1, 1), NamedText(""), unit))


def show_table(found: list[Found], best: int, inputs: Inputs) -> None:
    """Print a table; its last column is the line around each word, with the word in colour on a terminal."""
    head = [*file_column(inputs), "line", "column", "gain/nats", "correction", "probability", "others", ""]
    places = ["where", *map(excerpt_of, found)]
    for row, place in zip(aligned([head, *(row_of(one, best, inputs) for one in found)]), places, strict=True):
        click.echo(for_output(row) + place, color=True)


def row_of(found: Found, best: int, inputs: Inputs) -> list[str]:
    """Return the cells of a row, the last one empty."""
    suspect, location = found.suspect, found.location
    first, *others = suspect.proposals[:best]
    return [
        *file_column(inputs, found.text),
        *map(str, location),
        f"{suspect.gain:.2f}",
        f"{shown(suspect.word)} -> {shown(first.replacement)}",
        f"{first.probability:.0%}",
        "  ".join(f"{shown(other.replacement)} {other.probability:.0%}" for other in others),
        "",
    ]


def shown(word: str) -> str:
    """Return a word as it is, or in quotes if its ends would not be seen."""
    return word if word and word == word.strip() else repr(word)


def excerpt_of(found: Found) -> str:
    """Return a word in brackets, in colour on a terminal, with the text around it in its line."""
    text, start = found.text.text, found.word_offset
    stop = start + len(found.suspect.word)
    before = text[max(start - CONTEXT, 0) : start].rpartition("\n")[2]
    after = text[stop : stop + CONTEXT].partition("\n")[0]
    word = f"[{escape(text[start:stop])}]"
    return escape(before) + (click.style(word, fg="red", bold=True) if shows_colors() else word) + escape(after)
