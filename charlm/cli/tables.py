"""How scores are printed: as a table, as JSON Lines, as TSV, as a summary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from charlm.cli.terminal import escape, for_output

if TYPE_CHECKING:
    from charlm.scoring.score import Score, Summary

PSEUDO = "negative pseudo-log-likelihood"
"""What the loss of a bidirectional model is: no probability of a text, so not comparable with other losses."""
UNITS = {"e": "nats", "2": "bits", "10": "bans"}
TSV = (
    "text", "characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity",
    "log_prob_known", "bits_per_char_known", "perplexity_known",
)  # fmt: skip


def as_json(scores: Iterable[Score]) -> Iterator[str]:
    """Yield a JSON object for each score: the keys of the contract, then the figures without the unknown."""
    for score in scores:
        yield json.dumps(score.as_json() | without_unknown(score), ensure_ascii=False)


def without_unknown(score: Score) -> dict[str, float | None]:
    """Return the figures without the unknown characters; None where there are no others."""
    known = score.known
    if not known.characters:
        return dict.fromkeys(TSV[7:])
    return dict(zip(TSV[7:], (known.log_prob, known.bits_per_char, known.perplexity), strict=True))


def as_tsv(scores: Iterable[Score]) -> Iterator[str]:
    """Yield a head and a line for each score; tabs, newlines and backslashes in a text are escaped."""
    yield "\t".join(TSV)
    for score in scores:
        row = score.as_json() | without_unknown(score)
        yield "\t".join(in_tsv(row[key]) for key in TSV)


def in_tsv(value: object) -> str:
    """Write a value for a TSV field, at full precision."""
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return "" if value is None else repr(value)


def as_table(ranked: Sequence[tuple[float, Score]], base: str, unit: str) -> Iterator[str]:
    """Yield a table of ranked texts, the most probable first; columns line up for wide characters, too."""
    from charlm.scoring.score import in_base

    name = UNITS[base]
    head: tuple[str, ...] = (f"log p ({name})", f"{name}/{unit}", f"bits/{unit}")
    head += ("perplexity", "unknown", "relative", "text")
    if base == "2":
        head = head[:1] + head[2:]
    rows: list[tuple[str, ...]] = []
    for share, score in ranked:
        row: tuple[str, ...] = (
            f"{in_base(score.log_prob, base):.3f}",
            figure(in_base(score.nats_per_char, base), ".4f"),
            figure(score.bits_per_char, ".4f"),
            figure(score.perplexity, ".3f"),
            str(score.unknown),
            f"{share:.2%}",
            escape(score.text),
        )
        rows.append(row[:1] + row[2:] if base == "2" else row)
    return aligned([head, *rows])


def figure(value: float, digits: str) -> str:
    """Write a figure; "-" where there is none, as of an empty text."""
    return "-" if math.isnan(value) else format(value, digits)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows with their columns right-aligned, but for the last."""
    widths = [max(width(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [" " * (room - width(cell)) + cell for cell, room in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])


def width(text: str) -> int:
    """Return how many columns a terminal gives to a text."""
    from wcwidth import wcswidth  # here, as `--help` needs no table

    return max(wcswidth(text), 0)


def as_summary(summary: Summary, base: str, unit: str) -> Iterator[str]:
    """Yield the figures of all texts together, as KenLM's query prints them."""
    from charlm.scoring.score import in_base

    name = UNITS[base]
    yield f"Perplexity including unknown:\t{figure(summary.perplexity, '.6g')}"
    yield f"Perplexity excluding unknown:\t{figure(summary.known.perplexity, '.6g')}"
    yield f"Unknown:\t{summary.unknown}"
    yield f"Characters:\t{summary.characters}" if unit == "char" else f"Tokens:\t{summary.characters}"
    yield f"Texts:\t{summary.texts}"
    yield f"Log probability ({name}):\t{in_base(summary.log_prob, base):.6f}"
    yield f"{name.capitalize()} per {unit}:\t{figure(in_base(summary.nats_per_char, base), '.6f')}"
    if base != "2":
        yield f"Bits per {unit}:\t{figure(summary.bits_per_char, '.6f')}"


def show(lines: Iterable[str]) -> None:
    """Print lines, each as soon as it is there."""
    for line in lines:
        click.echo(for_output(line))
