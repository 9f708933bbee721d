"""Surprisal character by character: a heat map on a terminal, a table for pipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import exp
from typing import TYPE_CHECKING

import click

from charlm.cli.tables import in_tsv
from charlm.cli.terminal import escape

if TYPE_CHECKING:
    from charlm.scoring.score import CharScore

LIMITS = (1.0, 2.0, 4.0, 6.0, 9.0)
"""Bits of surprisal at which the colour changes."""
COLOURS = (None, "cyan", "green", "yellow", "magenta", "red")


def colour_of(bits: float) -> str | None:
    """Return the colour of a surprisal, in bits."""
    return COLOURS[sum(bits >= limit for limit in LIMITS)]


def heat_map(scores: Iterable[CharScore]) -> Iterator[str]:
    """Yield the text, each character in the colour of its surprisal, and a legend."""
    for score in scores:
        shown = escape(score.character, keep="\n")
        colour = colour_of(score.surprisal_bits)
        yield click.style(shown, fg=colour, bold=colour == "red") if colour else shown
    yield "\n" + legend() + "\n"


def legend() -> str:
    """Return a line that says what the colours mean."""
    bounds = ("0", *(f"{limit:g}" for limit in LIMITS))
    pieces = [click.style(f"{bound}+", fg=colour) for bound, colour in zip(bounds, COLOURS, strict=True)]
    return "surprisal in bits: " + " ".join(pieces)


def plain(scores: Iterable[CharScore]) -> Iterator[str]:
    """Yield a TSV line for each character: where, what, how probable, its rank, and the best alternatives."""
    yield "offset\tcharacter\tprobability\tsurprisal_bits\trank\tunknown\talternatives\n"
    for score in scores:
        others = " ".join(f"{in_tsv(escape(c))}:{exp(log_prob):.4f}" for c, log_prob in score.alternatives)
        yield (
            f"{score.offset}\t{in_tsv(score.character)}\t{score.probability:.6g}\t{score.surprisal_bits:.4f}"
            f"\t{score.rank}\t{int(score.is_unknown)}\t{others}\n"
        )
