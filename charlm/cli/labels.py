"""What `charlm classify` prints for a model that predicts labels, trained with --task classify."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import charlm
from charlm.cli.inputs import Inputs, NamedText, each_with
from charlm.cli.tables import aligned, show, show_json, show_tsv
from charlm.cli.terminal import escape
from charlm.text.reading import name_of
from charlm.text.rows import Row, read_rows

if TYPE_CHECKING:
    from charlm.tasks.classify import Labelled


def show_labels(
    model: charlm.LanguageModel, inputs: Inputs, form: str | None, top: int | None, threads: int | None
) -> None:
    """Print the labels of each text, as soon as it is known: the best one, or the `top` best ones."""
    from charlm.cli.task_records import labelled_record

    found = each_with(inputs.texts(model.text), lambda texts: model.classify_each(texts, threads=threads))
    if form == "json":
        show_json(labelled_record(one, text, top) for text, one in found)
    elif form == "tsv":
        labels = list(model.labels)
        rows = ([one.label, *(one.probabilities[label] for label in labels), one.text] for _, one in found)
        show_tsv(["best", *labels, "text"], rows)
    else:
        show(lines(found, max(map(len, map(escape, model.labels))), top or 1))


def lines(found: Iterable[tuple[NamedText, Labelled]], width: int, top: int) -> Iterator[str]:
    """Yield a line for each text: its labels with their probabilities, and the text."""
    for _, one in found:
        best = (f"{escape(label):<{width}} {p:7.2%}" for label, p in islice(one.probabilities.items(), top))
        yield "  ".join([*best, escape(one.text)])


def show_confusion(model: charlm.LanguageModel, path: Path, form: str | None, threads: int | None) -> None:
    """Print how often each label was predicted for each true one, in a file of labelled texts."""
    from charlm.cli.records import Record
    from charlm.tasks.classify import Confusion

    confusion = Confusion(model.labels)
    numbers: list[int] = []

    def texts(rows: Iterable[Row]) -> Iterator[str]:
        for row in rows:
            numbers.append(confusion.number(row, name_of(path)))
            yield row.text

    for index, one in enumerate(model.classify_each(texts(read_rows(path, model.text)), threads=threads)):
        confusion.add(numbers[index], one.label)
    counts = confusion.counts.tolist()
    records: list[Record] = [
        {
            "label": label,
            "texts": sum(counts[number]),
            "predicted": dict(zip(confusion.labels, counts[number], strict=True)),
            **dict(zip(("precision", "recall", "f1"), confusion.metrics(number), strict=True)),
        }
        for number, label in enumerate(confusion.labels)
    ]
    if form == "json":
        show_json(records)
    elif form == "tsv":
        show_tsv(list(records[0]), (list(record.values()) for record in records))
    else:
        show([f"accuracy: {confusion.accuracy:.2%} of {confusion.counts.sum():,} texts"])
        head = ["true \\ predicted", *confusion.labels, "precision", "recall", "F1"]
        rows = (
            [
                record["label"],
                *map(str, counts[number]),
                *(f"{record[name]:.2%}" for name in ("precision", "recall", "f1")),
            ]
            for number, record in enumerate(records)
        )
        show(aligned([head, *rows]))
