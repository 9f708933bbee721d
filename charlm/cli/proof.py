"""charlm proof: mark characters that do not fit, and propose others."""

from __future__ import annotations

from heapq import nlargest
from itertools import accumulate
from pathlib import Path

import click

from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.tables import aligned, excerpt, show, show_json
from charlm.text.position import line_and_column
from charlm.text.reading import read_text


@click.command("proof", cls=Command)
@options.file
@options.decoding
@options.model
@options.output("-n", "n", type=options.COUNT, metavar="N", show_default="all", help="Print the N clearest suspects.")
@options.output("--least", "min_gain", default=3.0, type=float, metavar="NATS",
               help="Print suspects whose best proposal gains this much.")  # fmt: skip
@options.json
def command(
    file: Path, encoding: str | None, errors: str | None,
    model_path: Path, n: int | None, min_gain: float, as_json: bool,
) -> None:  # fmt: skip
    """Print the characters of FILE that do not fit the text on both sides of them: typos, OCR errors.

    For each: line and column, the nats that the best proposal gains over the characters nearby, and the proposals with
    their probabilities. Needs a model trained with --bidirectional.

    Examples:
      charlm proof scan.txt -n 50
      charlm proof scan.txt --least 5 --json
    """
    model = options.open_model(model_path, encoding=encoding, errors=errors)
    options.require_bidirectional(model)
    text = model.clean(read_text(file, model.text))
    found = model.proof(text, min_gain=min_gain)
    if n is not None:
        found = iter(sorted(nlargest(n, found, key=lambda suspect: suspect.gain), key=lambda suspect: suspect.index))
    offsets = list(accumulate(map(len, model.vocabulary.split(text)), initial=0))
    located = ((suspect, *line_and_column(text, offsets[suspect.index]), offsets[suspect.index]) for suspect in found)
    if as_json:
        show_json(
            {
                "line": line,
                "column": column,
                "character": suspect.character,
                "gain": suspect.gain,
                "proposals": [{"character": c, "probability": p} for c, p in suspect.candidates],
            }
            for suspect, line, column, _ in located
        )
    else:
        rows = (
            [
                str(line),
                str(column),
                f"{suspect.gain:.2f}",
                "  ".join(f"{c!r} {p:.0%}" for c, p in suspect.candidates[:3]),
                excerpt(text, offset, len(suspect.character)),
            ]
            for suspect, line, column, offset in located
        )
        show(aligned([["line", "column", "gain/nats", "proposals", "where"], *rows]))
