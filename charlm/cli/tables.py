"""Output that several commands print: JSON Lines, tab-separated values, aligned tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from charlm.cli.inputs import Inputs, NamedText
from charlm.cli.terminal import escape, for_output

LOGARITHMS = {"e": "nats", "2": "bits", "10": "bans"}
"""The unit of information for each base of the logarithm."""
PSEUDO = "negative pseudo-log-likelihood"
"""The loss of a bidirectional model; it is not comparable with other losses."""
MIN_PERCENT = 5e-5
"""Smallest probability that is not 0.00% in percent."""
CONTEXT = 20
"""Characters shown on each side of a position in a text."""


def show(lines: Iterable[str]) -> None:
    """Print lines, each as soon as the iterable yields it."""
    for line in lines:
        click.echo(for_output(line))


def show_json(objects: Iterable[Mapping[str, Any]]) -> None:
    """Print JSON Lines."""
    show(json.dumps(fields, ensure_ascii=False) for fields in objects)


def show_tsv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a header line and rows of tab-separated values, numbers at full precision."""
    show("\t".join(map(in_tsv, row)) for row in chain([head], rows))


def in_tsv(value: object) -> str:
    """Format a value as a TSV field: escape tabs, newlines and backslashes; None is an empty field, a list is JSON."""
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    if isinstance(value, (list, tuple, dict)):
        return in_tsv(json.dumps(value, ensure_ascii=False))
    return "" if value is None else repr(int(value) if isinstance(value, bool) else value)


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield rows with all columns but the last right-aligned; escape control characters."""
    from wcwidth import wcswidth  # loaded here because `--help` needs no table

    cells = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(wcswidth, column)) for column in zip(*cells, strict=True)]
    for *row, last in cells:
        padded = [" " * (column - wcswidth(cell)) + cell for cell, column in zip(row, widths, strict=False)]
        yield "  ".join([*padded, last])


def excerpt(text: str, start: int, length: int) -> str:
    """Return the `length` characters from `start` on in brackets, with the characters around them."""
    stop = start + length
    return f"{text[max(start - CONTEXT, 0) : start]}[{text[start:stop]}]{text[stop : stop + CONTEXT]}"


def percent(probability: float) -> str:
    """Format a probability in percent, or if that would round to zero as a power of ten.

    >>> percent(0.0448), percent(3e-7)
    ('4.48%', '3e-07')
    """
    return f"{probability:.2%}" if probability >= MIN_PERCENT or probability == 0 else f"{probability:.0e}"


def file_column(inputs: Inputs, text: NamedText | None = None) -> list[str]:
    """Return the cell that names the file of a text, or its title; none if all texts are from one source."""
    if len(inputs.sources) < 2:
        return []
    return ["file"] if text is None else [text.file or ""]


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each model file: its stem, or its path if another file has the same stem."""
    stems = [path.name.removesuffix(".safetensors") for path in paths]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, paths, strict=True)]
