"""The records of models that predict labels: their keys, in order. docs/reference/output.md documents them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from charlm.cli.inputs import NamedText
from charlm.cli.records import Record, origin
from charlm.cli.sentences import Sentence

if TYPE_CHECKING:
    from charlm.tasks.classify import Labelled
    from charlm.tasks.restore import Change
    from charlm.tasks.tag import Tagged


def change_record(change: Change, location: tuple[int, int], file: str | None) -> Record:
    """Return the record of a change, in `restore`."""
    line, column = location
    return {
        "line": line,
        "column": column,
        "original": change.original,
        "restored": change.restored,
        "probability": change.probability,
        "index": change.offset,
        "file": file,
    }


def labelled_record(found: Labelled, text: NamedText, top: int | None) -> Record:
    """Return the record of a text, in `classify` with a model that predicts labels; with the `top` best labels."""
    probabilities = dict(islice(found.probabilities.items(), top))
    return {"text": found.text, "best": found.label, "probability": probabilities, **origin(text, "char")}


def tagged_record(found: Tagged, sentence: Sentence) -> Record:
    """Return the record of a sentence, in `tag`. Offsets of spans are those of characters in the text."""
    spans = []
    for span in found.spans:
        (start, _), (last, token) = sentence.tokens[span.start], sentence.tokens[span.stop - 1]
        stop = last + len(token)
        spans.append({"label": span.kind, "text": sentence.text[start:stop], "start": start, "stop": stop})
    return {
        "text": sentence.text,
        "tokens": found.tokens,
        "labels": found.labels,
        "probabilities": found.probabilities,
        "spans": spans,
        "file": sentence.file,
        "line": sentence.line,
    }
