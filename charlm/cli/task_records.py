"""The records of models of the tasks: their keys, in order. docs/reference/output.md documents them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from charlm.cli.inputs import NamedText
from charlm.cli.records import Record, origin
from charlm.cli.sentences import Sentence

if TYPE_CHECKING:
    from charlm.tasks.classify import Labelled
    from charlm.tasks.pairs import Candidate, Translation
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


def translated_record(found: Translation, text: NamedText) -> Record:
    """Return the record of a source, in `translate --json`."""
    best, *_ = found.candidates
    candidates = [
        {"target": one.target, "probability": one.probability, "log_prob": one.log_prob, "complete": one.is_complete}
        for one in found.candidates
    ]
    named = {"source": found.source, "target": best.target, "probability": best.probability, "log_prob": best.log_prob}
    return {**named, "candidates": candidates, **origin(text, "char")}


def candidate_record(found: Candidate, rank: int, text: NamedText) -> Record:
    """Return the record of a target, in `translate --tsv`."""
    return {
        "source": text.text,
        "rank": rank,
        "target": found.target,
        "probability": found.probability,
        "log_prob": found.log_prob,
        "complete": found.is_complete,
        **origin(text, "char"),
    }
