"""Surprisal of each character: a heat map for terminals, TSV for programs."""

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
"""Surprisals in bits at which the colour changes."""
COLOURS = (None, "cyan", "green", "yellow", "magenta", "red")
"""Colours between the limits, from the lowest surprisal to the highest."""


def colour_of(bits: float) -> str | None:
    """Return the colour of a surprisal in bits; None is the terminal's own."""
    return COLOURS[sum(bits >= limit for limit in LIMITS)]


def print_heat_map(scores: Iterable[CharScore]) -> None:
    """Print a text, each character in the colour of its surprisal, and a legend."""
    bounds = ("0", *(f"{limit:g}" for limit in LIMITS))
    pieces = [click.style(f"{bound}+", fg=colour) for bound, colour in zip(bounds, COLOURS, strict=True)]
    for score in scores:
        shown = escape(score.character, keep="\n")
        colour = colour_of(score.surprisal_bits)
        click.echo(click.style(shown, fg=colour, bold=colour == "red") if colour else shown, nl=False, color=True)
    click.echo("\nsurprisal in bits: " + " ".join(pieces), color=True)


def character_lines(scores: Iterable[CharScore]) -> Iterator[str]:
    """Yield a TSV header and a line for each character, with the best alternatives."""
    yield "offset\tcharacter\tprobability\tsurprisal_bits\trank\tunknown\talternatives"
    for score in scores:
        alternatives = " ".join(f"{in_tsv(escape(c))}:{exp(log_prob):.4f}" for c, log_prob in score.alternatives)
        yield (
            f"{score.offset}\t{in_tsv(score.character)}\t{score.probability:.6g}\t{score.surprisal_bits:.4f}"
            f"\t{score.rank}\t{int(score.is_unknown)}\t{alternatives}"
        )
