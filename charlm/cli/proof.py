"""charlm proof: mark characters that do not fit, and propose others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import Command
from charlm.cli.inputs import whole
from charlm.cli.options import decoding_options, model_option, open_model
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import escape
from charlm.text.position import line_and_column

if TYPE_CHECKING:
    from charlm.infilling.proofing import Suspect

AROUND = 20
"""Characters shown on each side of a suspect."""


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@model_option
@click.option("-n", "n", type=click.IntRange(1), metavar="N", help="Print the N clearest alone.  [default: all]")
@click.option("--least", default=3.0, show_default=True, type=float, metavar="NATS",
              help="What a proposal has to gain to be printed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a suspect.")
@decoding_options
def command(
    file: Path,
    model_path: Path,
    n: int | None,
    least: float,
    as_json: bool,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Print the characters of FILE that do not fit what stands on both sides of them: typos, slips of OCR.

    For each: line and column, how many nats the best proposal gains over the characters near by, and the proposals with
    their probabilities. Needs a model trained with --bidirectional.
    """
    model = open_model(model_path, encoding=encoding, errors=errors)
    text = model.clean(whole(file, model.text))
    found = model.proof(text, least=least)
    if n is not None:
        found = iter(sorted(nlargest(n, found, key=lambda suspect: suspect.gain), key=lambda suspect: suspect.place))
    starts = offsets(model.vocabulary.split(text))
    show(objects(found, text, starts) if as_json else aligned(rows(found, text, starts)))


def offsets(pieces: Sequence[str]) -> list[int]:
    """Return where each piece of a text begins, in code points."""
    starts, at = [], 0
    for piece in pieces:
        starts.append(at)
        at += len(piece)
    return starts


def objects(found: Iterator[Suspect], text: str, starts: list[int]) -> Iterator[str]:
    """Yield a JSON object for each suspect."""
    for suspect in found:
        line, column = line_and_column(text, starts[suspect.place])
        facts: dict[str, Any] = {
            "line": line,
            "column": column,
            "character": suspect.character,
            "gain": suspect.gain,
            "proposals": [{"character": c, "probability": p} for c, p in suspect.proposals],
        }
        yield json.dumps(facts, ensure_ascii=False)


def rows(found: Iterator[Suspect], text: str, starts: list[int]) -> list[list[str]]:
    """Return a table of the suspects."""
    table = [["line", "column", "gain/nats", "proposals", "where"]]
    for suspect in found:
        at = starts[suspect.place]
        line, column = line_and_column(text, at)
        behind = at + len(suspect.character)
        proposals = "  ".join(f"{c!r} {p:.0%}" for c, p in suspect.proposals[:3])
        where = f"{text[max(at - AROUND, 0) : at]}[{text[at:behind]}]{text[behind : behind + AROUND]}"
        table.append([str(line), str(column), f"{suspect.gain:.2f}", escape(proposals), escape(where)])
    return table
