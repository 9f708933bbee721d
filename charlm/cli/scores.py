"""The output formats of `charlm score`: JSON Lines, TSV, a summary, a ranked table, a heat map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import click

from charlm.cli.tables import aligned, show, show_json, show_tsv
from charlm.cli.terminal import escape, warn
from charlm.config import LOGARITHMS
from charlm.scoring.ranking import rank
from charlm.scoring.score import CharScore, Score, Summary, in_base

LIMITS = (1.0, 2.0, 4.0, 6.0, 9.0)
"""Surprisals in bits at which the colour changes."""
COLOURS = (None, "cyan", "green", "yellow", "magenta", "red")
"""Colours between the limits, from the lowest surprisal to the highest."""


def print_scores(scores: Iterable[Score], form: str | None, base: str, unit: str) -> None:
    """Print scores.

    Parameters
    ----------
    scores : in the order of the input
    form : "json", "tsv", "summary", or None for a table of ranked texts
    base : base of the logarithms in summaries and tables, a name in LOGARITHMS
    unit : unit of the vocabulary, "char" or "word"
    """
    if form == "json":
        show_json(map(fields_of, scores))
    elif form == "tsv":
        show_tsv(list(fields_of(Score())), (list(fields_of(score).values()) for score in scores))
    elif form == "summary":
        show(summary_lines(reduce(Summary.__add__, scores, Summary()), base, unit))
    else:
        show(table_of(list(scores), base, unit))


def print_groups(groups: Iterable[tuple[str, Iterable[Score]]], base: str) -> None:
    """Print the scores of each group as TSV, the most probable text first, with logarithms to a base in LOGARITHMS."""
    rows = (
        [group, position, f"{relative:.6g}", in_base(score.log_prob, base), score.text]
        for group, scores in groups
        for position, (relative, score) in enumerate(rank(scores), 1)
    )
    show_tsv(("group", "place", "relative", f"log_prob_{LOGARITHMS[base]}", "text"), rows)


def fields_of(score: Score) -> dict[str, Any]:
    """Return the fields of JSON Lines and TSV; `_known` fields exclude unknown characters."""
    known = score.known
    names = ("log_prob", "bits_per_char", "perplexity")
    return score.as_json() | {f"{name}_known": getattr(known, name) if known.characters else None for name in names}


def summary_lines(summary: Summary, base: str, unit: str) -> Iterator[str]:
    """Yield the lines of a summary of all texts, in the format of KenLM's `query`."""
    name = LOGARITHMS[base]
    metrics = {
        "Perplexity including unknown": format_metric(summary.perplexity, ".6g"),
        "Perplexity excluding unknown": format_metric(summary.known.perplexity, ".6g"),
        "Unknown": str(summary.unknown),
        "Characters" if unit == "char" else "Tokens": str(summary.characters),
        "Texts": str(summary.texts),
        f"Log probability ({name})": f"{in_base(summary.log_prob, base):.6f}",
        f"{name.capitalize()} per {unit}": format_metric(in_base(summary.nats_per_char, base), ".6f"),
        f"Bits per {unit}": format_metric(summary.bits_per_char, ".6f"),
    }
    for title, value in metrics.items():
        yield f"{title}:\t{value}"


def table_of(scores: list[Score], base: str, unit: str) -> Iterator[str]:
    """Yield a table of the texts, the most probable first; warn of unknown characters."""
    unknown, total = sum(score.unknown for score in scores), sum(score.characters for score in scores)
    if unknown:
        what = "characters" if unit == "char" else "tokens"
        warn(f"{unknown:,} of {total:,} {what} are unknown to the model and are scored as UNK")
    rows = [cells_of(score, relative, base, unit) for relative, score in rank(scores)]
    return aligned([list(cells_of(Score(), 0, base, unit)), *(list(row.values()) for row in rows)])


def cells_of(score: Score, relative: float, base: str, unit: str) -> dict[str, str]:
    """Return a row of the table, column title -> cell; in base 2, "bits/char" occurs once."""
    name = LOGARITHMS[base]
    return {
        f"log p ({name})": f"{in_base(score.log_prob, base):.3f}",
        f"{name}/{unit}": format_metric(in_base(score.nats_per_char, base), ".4f"),
        f"bits/{unit}": format_metric(score.bits_per_char, ".4f"),
        "perplexity": format_metric(score.perplexity, ".3f"),
        "unknown": str(score.unknown),
        "relative": f"{relative:.2%}",
        "text": score.text,
    }


def format_metric(value: float, digits: str) -> str:
    """Format a number; "-" if it is NaN, as for an empty text."""
    return "-" if math.isnan(value) else format(value, digits)


def print_characters(scores: Iterable[CharScore], is_coloured: bool) -> None:
    """Print the score of each character: as a heat map, or as TSV with the best alternatives."""
    if is_coloured:
        return print_heat_map(scores)
    head = ("offset", "character", "probability", "surprisal_bits", "rank", "unknown", "alternatives")
    rows = (
        [
            score.offset, score.character, f"{score.probability:.6g}", f"{score.surprisal_bits:.4f}", score.rank,
            int(score.is_unknown), " ".join(f"{escape(c)}:{math.exp(log_p):.4f}" for c, log_p in score.alternatives),
        ]
        for score in scores
    )  # fmt: skip
    return show_tsv(head, rows)


def print_heat_map(scores: Iterable[CharScore]) -> None:
    """Print a text, each character in the colour of its surprisal, and a legend."""
    bounds = ("0", *(f"{limit:g}" for limit in LIMITS))
    pieces = [click.style(f"{bound}+", fg=colour) for bound, colour in zip(bounds, COLOURS, strict=True)]
    for score in scores:
        shown = escape(score.character, keep="\n")
        colour = colour_of(score.surprisal_bits)
        click.echo(click.style(shown, fg=colour, bold=colour == "red") if colour else shown, nl=False, color=True)
    click.echo("\nsurprisal in bits: " + " ".join(pieces), color=True)


def colour_of(bits: float) -> str | None:
    """Return the colour of a surprisal in bits; None is the terminal's own."""
    return COLOURS[sum(bits >= limit for limit in LIMITS)]
