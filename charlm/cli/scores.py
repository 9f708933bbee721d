"""The output formats of `charlm score`: JSON Lines, TSV, a summary, a ranked table, a heat map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, tee

import click

from charlm.cli.inputs import NamedText
from charlm.cli.records import (
    character_record,
    ranked_record,
    score_record,
    show_records,
    summary_record,
    word_record,
)
from charlm.cli.tables import LOGARITHMS, aligned, percent, show, show_tsv
from charlm.cli.terminal import escape, warn
from charlm.scoring.heat_map import LIMITS, level
from charlm.scoring.ranking import rank
from charlm.scoring.score import CharScore, Score, Summary, in_base
from charlm.text.position import lines_and_columns

MAX_LABEL = 200
"""Characters of a text that a table shows at most."""
COLOURS = (None, "cyan", "green", "yellow", "magenta", "red")
"""Colour of each level, from the lowest surprisal to the highest."""


@dataclass(frozen=True)
class Output:
    """How scores are printed.

    Attributes
    ----------
    form : "json" or "tsv" for records, None for tables
    base : base of the logarithms in tables, a name in LOGARITHMS
    unit : unit of the vocabulary, "char" or "word"
    """

    form: str | None
    base: str
    unit: str


def print_scores(scores: Iterable[tuple[NamedText, Score]], is_summary: bool, output: Output) -> None:
    """Print scores in the order of the input: as records, as a summary, or as a table of ranked texts."""
    form, base, unit = output.form, output.base, output.unit
    if is_summary:
        summary = reduce(Summary.__add__, (score for _, score in scores), Summary())
        if form:
            show_records([summary_record(summary, unit)], form, summary_record(summary, unit))
        else:
            show(summary_lines(summary, base, unit))
    elif form:
        records = (score_record(score, text, unit) for text, score in scores)
        show_records(records, form, score_record(Score(), NamedText(""), unit))
    else:
        show(table_of(scores, base, unit))


def print_groups(groups: Iterable[tuple[str, Iterable[tuple[NamedText, Score]]]], output: Output) -> None:
    """Print the scores of each group, the most probable text first: as records, or as a table."""
    ranked = (
        (group, place, share, score, text)
        for group, scores in groups
        for place, (share, score, text) in enumerate(rank_named(scores), 1)
    )
    if output.form:
        records = (ranked_record(*one, output.unit) for one in ranked)
        return show_records(records, output.form, ranked_record("", 1, 1.0, Score(), NamedText(""), output.unit))
    rows = (
        [group, place, f"{share:.6g}", in_base(score.log_prob, output.base), score.text]
        for group, place, share, score, _ in ranked
    )
    return show_tsv(("group", "place", "relative", f"log_prob_{LOGARITHMS[output.base]}", "text"), rows)


def rank_named(scores: Iterable[tuple[NamedText, Score]]) -> Iterator[tuple[float, Score, NamedText]]:
    """Yield the ranked scores of `rank` with their texts."""
    pairs = list(scores)
    names = {id(score): text for text, score in pairs}
    return ((share, score, names[id(score)]) for share, score in rank(score for _, score in pairs))


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


def table_of(named: Iterable[tuple[NamedText, Score]], base: str, unit: str) -> Iterator[str]:
    """Yield a table of the texts, the most probable first; warn of unknown characters."""
    pairs = list(named)
    unknown, total = sum(score.unknown for _, score in pairs), sum(score.characters for _, score in pairs)
    if unknown:
        what = "characters" if unit == "char" else "tokens"
        warn(f"{unknown:,} of {total:,} {what} are unknown to the model and are scored as UNK")
    rows = [
        list(cells_of(score, label_of(text, score.text, has_files=len(pairs) > 1), relative, base, unit).values())
        for relative, score, text in rank_named(pairs)
    ]
    return aligned([list(cells_of(Score(), "", 0, base, unit)), *rows])


def label_of(text: NamedText, scored: str, *, has_files: bool) -> str:
    """Return what a table shows of a text: its start, after the name of its file where there are several texts."""
    shown = scored if len(scored) <= MAX_LABEL else scored[:MAX_LABEL] + "..."
    return f"{text.file}: {shown}" if has_files and text.file and text.line is None else shown


def cells_of(score: Score, label: str, relative: float, base: str, unit: str) -> dict[str, str]:
    """Return a row of the table, column title -> cell; in base 2, "bits/char" occurs once."""
    name = LOGARITHMS[base]
    return {
        f"log p ({name})": f"{in_base(score.log_prob, base):.3f}",
        f"{name}/{unit}": format_metric(in_base(score.nats_per_char, base), ".4f"),
        f"bits/{unit}": format_metric(score.bits_per_char, ".4f"),
        "perplexity": format_metric(score.perplexity, ".3f"),
        "unknown": str(score.unknown),
        "relative": f"{relative:.2%}",
        "text": label,
    }


def format_metric(value: float, digits: str) -> str:
    """Format a number; "-" if it is NaN, as for an empty text."""
    return "-" if math.isnan(value) else format(value, digits)


def print_characters(
    scores: Iterable[tuple[NamedText, Iterable[CharScore]]], is_coloured: bool, output: Output
) -> None:
    """Print the score of each character of each text: as a heat map, as records, or as a table for each text."""
    if output.form:
        records = (
            character_record(score, location, text, output.unit)
            for text, characters in scores
            for score, location in located(text.text, characters)
        )
        example = character_record(CharScore("", 0, 0.0, 1), (1, 1), NamedText(""), output.unit)
        return show_records(records, output.form, example)
    for _, characters in scores:
        if is_coloured:
            print_heat_map(characters)
        else:
            print_table_of_characters(characters)
    return None


def print_words(scores: Iterable[tuple[NamedText, Score]], output: Output) -> None:
    """Print the score of each word of each text: as records, or as a table."""
    words = (
        (word, log_prob, index, location, text)
        for text, score in scores
        for (word, log_prob), (index, location) in zip(score.words(), positions(score), strict=True)
    )
    if output.form:
        records = (word_record(*one, output.unit) for one in words)
        return show_records(records, output.form, word_record("", 0.0, 0, (1, 1), NamedText(""), output.unit))
    rows = (
        [f"{in_base(log_prob, output.base):.3f}", percent(math.exp(log_prob)), word] for word, log_prob, *_ in words
    )
    return show(aligned([[f"log p ({LOGARITHMS[output.base]})", "p", "word"], *rows]))


def positions(score: Score) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the offset of each word of a text, and its line and column."""
    indices = [0, *accumulate(len(word) for word, _ in score.words())][: len(score.words())]
    return zip(indices, lines_and_columns(score.text, indices), strict=True)


def located(text: str, scores: Iterable[CharScore]) -> Iterator[tuple[CharScore, tuple[int, int]]]:
    """Yield each character of a text with its line and column."""
    characters, copy = tee(scores)
    return zip(characters, lines_and_columns(text, (score.offset for score in copy)), strict=True)


def print_table_of_characters(scores: Iterable[CharScore]) -> None:
    """Print the characters of a text with the best alternatives, separated by tabs."""
    head = ("offset", "character", "probability", "surprisal_bits", "rank", "unknown", "alternatives")
    rows = (
        [
            score.offset, score.character, f"{score.probability:.6g}", f"{score.surprisal_bits:.4f}", score.rank,
            int(score.is_unknown), " ".join(f"{escape(c)}:{math.exp(log_p):.4f}" for c, log_p in score.alternatives),
        ]
        for score in scores
    )  # fmt: skip
    show_tsv(head, rows)


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
    return COLOURS[level(bits)]
