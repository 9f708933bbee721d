"""charlm fill: restore missing characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.command import Command
from charlm.cli.inputs import texts_from
from charlm.cli.options import decoding_options, model_option, open_model
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import escape

if TYPE_CHECKING:
    from charlm.infilling.filling import Filled
    from charlm.model import LanguageModel


@click.command(cls=Command)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@model_option
@click.option("--file", "files", type=click.Path(path_type=Path, allow_dash=True), multiple=True, metavar="FILE",
              help='Fill in a file; "-" is standard input.')  # fmt: skip
@click.option("--lines", is_flag=True, help="Each line of the files is a text.")
@click.option("--blank", default="_", show_default=True, metavar="SIGN", help="What stands for a missing character.")
@click.option("--beam", default=8, show_default=True, type=click.IntRange(1), metavar="N",
              help="Readings that are followed.")  # fmt: skip
@click.option("-k", "--best", default=3, show_default=True, type=click.IntRange(1), metavar="K",
              help="Readings to print.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a text.")
@decoding_options
def command(
    texts: tuple[str, ...],
    model_path: Path,
    files: tuple[Path, ...],
    lines: bool,
    blank: str,
    beam: int,
    best: int,
    as_json: bool,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Print the K best readings of each TEXT in which _ stands for a missing character.

    Each has its share of the probability of all readings that were found, and its weight in nats. A model trained with
    --bidirectional weighs what stands on both sides of a gap; any other fills from left to right. With --lines, a line
    without a gap is printed as it is.
    """
    if not texts and not files:
        raise click.UsageError("nothing to fill in: give a TEXT, or --file FILE")
    model = open_model(model_path, encoding=encoding, errors=errors)
    given = texts_from(texts, files, lines, model.text)
    blank = model.clean(blank)

    def fill(text: str) -> list[Filled]:
        if lines and len(blank) == 1 and blank not in model.vocabulary.split(model.clean(text)):
            return [as_it_is(model, text)]
        return model.fill(text, blank=blank, beam=beam, best=best)

    filled = ((text, fill(text)) for text in given)
    show(objects(filled) if as_json else tables(filled))


def as_it_is(model: LanguageModel, text: str) -> Filled:
    """Return a text without a gap as its only reading."""
    from charlm.infilling.filling import Filled

    score = model.pseudo_score(text) if model.config.bidirectional else model.score(text, end=False)
    return Filled(text, (), score.log_prob, 1.0)


def objects(filled: Iterable[tuple[str, list[Filled]]]) -> Iterator[str]:
    """Yield a JSON object for each text."""
    for text, readings in filled:
        facts = [
            {"text": found.text, "filled": list(found.filled), "share": found.share, "weight": found.weight}
            for found in readings
        ]
        yield json.dumps({"text": text, "readings": facts}, ensure_ascii=False)


def tables(filled: Iterable[tuple[str, list[Filled]]]) -> Iterator[str]:
    """Yield the lines of a table for each text."""
    for _, readings in filled:
        rows = [["share", "nats", "text"]]
        for found in readings:
            rows.append([f"{found.share:.1%}", f"{found.weight:.3f}", escape(found.text)])
        yield from aligned(rows)
