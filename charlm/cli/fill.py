"""charlm fill: restore missing characters."""

from __future__ import annotations

from pathlib import Path

import click

from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, NamedText
from charlm.cli.tables import aligned, show, show_json

search_option = option_group("Search")


@click.command("fill", cls=Command)
@options.texts
@options.decoding
@options.model
@search_option("--blank", default="_", metavar="CHARACTER", help="Read this as a missing character.")
@search_option("--beam", default=8, type=options.COUNT, metavar="N", help="Follow the N best readings.")
@options.output("-k", "--best", default=3, type=options.COUNT, metavar="K", help="Print the K best readings.")
@options.records
def command(
    inputs: Inputs, encoding: str | None, errors: str | None,
    model_path: Path, blank: str, beam: int, best: int, form: str | None,
) -> None:  # fmt: skip
    """Print the K best readings of each TEXT in which _ marks a missing character.

    Prints for each reading its probability, if one of the readings found is right, and its log-probability in nats.
    A bidirectional model uses the text on both sides of a gap; other models fill from left to right. With --lines, a
    line without a gap is printed unchanged.

    Examples:
      charlm fill "the qu_ck br_wn fox"
      charlm fill --file damaged.txt --lines --blank "?" --json
    """
    from charlm.cli.records import filled_record, reading_record, show_records
    from charlm.infilling.filling import Filled, find_blanks

    model = options.open_model(model_path, encoding=encoding, errors=errors)
    blank = model.clean(blank)

    def fill(text: str) -> list[Filled]:
        if inputs.by_line and len(blank) == 1 and not find_blanks(model.vocabulary.split(model.clean(text)), blank):
            score = model.pseudo_score(text) if model.config.bidirectional else model.score(text, end=False)
            return [Filled(text, (), score.log_prob, 1.0)]
        return model.fill(text, blank=blank, beam=beam, best=best)

    unit = model.text.unit
    found = ((text, fill(text.text)) for text in inputs.texts(model.text))
    if form == "json":
        show_json(filled_record(readings, text, unit) for text, readings in found)
    elif form == "tsv":
        ranked = ((one, rank, text) for text, readings in found for rank, one in enumerate(readings, 1))
        records = (reading_record(*one, unit) for one in ranked)
        show_records(records, form, reading_record(Filled("", (), 0.0, 1.0), 1, NamedText(""), unit))
    else:
        for _, readings in found:
            rows = ([f"{r.probability:.1%}", f"{r.weight:.3f}", r.text] for r in readings)
            show(aligned([["share", "nats", "text"], *rows]))
