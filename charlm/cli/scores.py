"""The output formats of `charlm score`: JSON Lines, TSV, a summary, a ranked table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import TYPE_CHECKING, Any

from charlm.cli.tables import aligned, show, show_json, show_tsv
from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.scoring.score import Score, Summary

UNITS = {"e": "nats", "2": "bits", "10": "bans"}
"""Name of the unit of information for each base of the logarithm."""


def print_scores(scores: Iterable[Score], form: str | None, base: str, unit: str) -> None:
    """Print scores.

    Parameters
    ----------
    scores : in the order of the input
    form : "json", "tsv", "summary", or None for a table of ranked texts
    base : base of the logarithms in summaries and tables, a name in UNITS
    unit : unit of the vocabulary, "char" or "word"
    """
    from charlm.scoring.score import Score, Summary

    if form == "json":
        show_json(map(fields_of, scores))
    elif form == "tsv":
        show_tsv(list(fields_of(Score())), (list(fields_of(score).values()) for score in scores))
    elif form == "summary":
        show(summary_lines(reduce(Summary.__add__, scores, Summary()), base, unit))
    else:
        show(table_of(list(scores), base, unit))


def print_groups(groups: Iterable[tuple[str, Iterable[Score]]], base: str) -> None:
    """Print the scores of each group as TSV, the most probable text first, with logarithms to a base in UNITS."""
    from charlm.scoring.ranking import rank
    from charlm.scoring.score import in_base

    rows = (
        [group, position, f"{relative:.6g}", in_base(score.log_prob, base), score.text]
        for group, scores in groups
        for position, (relative, score) in enumerate(rank(scores), 1)
    )
    show_tsv(("group", "place", "relative", f"log_prob_{UNITS[base]}", "text"), rows)


def fields_of(score: Score) -> dict[str, Any]:
    """Return the fields of JSON Lines and TSV; `_known` fields exclude unknown characters."""
    known = score.known
    metrics = (known.log_prob, known.bits_per_char, known.perplexity) if known.characters else (None, None, None)
    names = ("log_prob_known", "bits_per_char_known", "perplexity_known")
    return score.as_json() | dict(zip(names, metrics, strict=True))


def summary_lines(summary: Summary, base: str, unit: str) -> Iterator[str]:
    """Yield the lines of a summary of all texts, in the format of KenLM's `query`."""
    from charlm.scoring.score import in_base

    name = UNITS[base]
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
    from charlm.scoring.ranking import rank
    from charlm.scoring.score import Score

    unknown, total = sum(score.unknown for score in scores), sum(score.characters for score in scores)
    if unknown:
        what = "characters" if unit == "char" else "tokens"
        warn(f"{unknown:,} of {total:,} {what} are unknown to the model and are scored as UNK")
    rows = [cells_of(score, relative, base, unit) for relative, score in rank(scores)]
    return aligned([list(cells_of(Score(), 0, base, unit)), *(list(row.values()) for row in rows)])


def cells_of(score: Score, relative: float, base: str, unit: str) -> dict[str, str]:
    """Return a row of the table, column title -> cell; in base 2, "bits/char" occurs once."""
    from charlm.scoring.score import in_base

    name = UNITS[base]
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
