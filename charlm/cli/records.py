"""The records of --json and --tsv: their keys, in order. docs/reference/output.md documents them.

Log-probabilities are in nats. Keys of a model of words name tokens and words; its keys of earlier versions, which name
characters, follow at the end of a record.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from charlm.arrays import finite_or_none
from charlm.cli.inputs import NamedText
from charlm.cli.tables import show_json, show_tsv
from charlm.scoring.score import CharScore, Metrics, Score, Summary, in_base

if TYPE_CHECKING:
    from charlm.diagnostics.activations import Activations
    from charlm.diagnostics.cell_ranking import CellScore
    from charlm.infilling.filling import Filled
    from charlm.infilling.proofing import Suspect
    from charlm.sampling.sampler import Sample
    from charlm.scoring.continuations import Continuation
    from charlm.scoring.ranking import Classification
    from charlm.text.copies import Copies, Copy

KEYS_OF_WORDS = {
    "characters": "tokens",
    "character": "token",
    "nats_per_char": "nats_per_word",
    "bits_per_char": "bits_per_word",
    "bits_per_char_known": "bits_per_word_known",
}
"""Keys of a model of characters, and those of a model of words in their stead."""
Record = dict[str, Any]


def show_records(records: Iterable[Record], form: str, example: Record) -> None:
    """Print records as "json" or "tsv"; the keys of the example are the header of the table."""
    if form == "json":
        show_json(records)
    else:
        show_tsv(list(example), (list(record.values()) for record in records))


def in_unit(record: Record, unit: str, *, is_new: bool = False) -> Record:
    """Return a record with the keys of a unit, "char" or "word".

    Unless the record is new, the keys that it had in earlier versions follow, for one more version.
    """
    if unit == "char":
        return record
    renamed = {KEYS_OF_WORDS.get(key, key): value for key, value in record.items()}
    return renamed if is_new else renamed | {key: value for key, value in record.items() if key in KEYS_OF_WORDS}


def origin(text: NamedText, unit: str) -> Record:
    """Return the unit of a model, and where a text is from."""
    return {"unit": unit, "file": text.file, "line": text.line}


def metrics_record(metrics: Metrics) -> Record:
    """Return the metrics, then those without unknown characters; None for a value that is not finite."""
    names = ("characters", "unknown", "log_prob", "nats_per_char", "bits_per_char", "perplexity")
    known = metrics.known
    record = {name: finite_or_none(getattr(metrics, name)) for name in names}
    for name in ("log_prob", "bits_per_char", "perplexity"):
        record[f"{name}_known"] = finite_or_none(getattr(known, name)) if known.characters else None
    return record


def score_record(score: Score, text: NamedText, unit: str, *, is_new: bool = False) -> Record:
    """Return the record of a text, in `score` and `odd`."""
    return in_unit({"text": score.text, **metrics_record(score), **origin(text, unit)}, unit, is_new=is_new)


def summary_record(summary: Summary, unit: str) -> Record:
    """Return the record of all texts, in `score --summary`."""
    return in_unit({"texts": summary.texts, **metrics_record(summary), "unit": unit}, unit, is_new=True)


def ranked_record(group: str, place: int, share: float, score: Score, text: NamedText, unit: str) -> Record:
    """Return the record of a candidate, in `score --rank`."""
    named = {"group": group, "rank": place, "probability": share, "log_prob": score.log_prob, "text": score.text}
    return named | origin(text, unit)


def character_record(score: CharScore, location: tuple[int, int], text: NamedText, unit: str) -> Record:
    """Return the record of a character, in `score --per-char` and `odd --spots`."""
    line, column = location
    record = {
        "character": score.character,
        "probability": score.probability,
        "log_prob": score.log_prob,
        "surprisal_bits": score.surprisal_bits,
        "rank": score.rank,
        "unknown": score.is_unknown,
        "alternatives": [
            in_unit({"character": other, "probability": math.exp(log_prob)}, unit, is_new=True)
            for other, log_prob in score.alternatives
        ],
        "index": score.offset,
        "line": line if text.line is None else text.line,
        "column": column,
        "unit": unit,
        "file": text.file,
    }
    return in_unit(record, unit, is_new=True)


def word_record(
    word: str, log_prob: float, index: int, location: tuple[int, int], text: NamedText, unit: str
) -> Record:
    """Return the record of a word, in `score --per-word`."""
    line, column = location
    return {
        "word": word,
        "probability": math.exp(log_prob),
        "log_prob": log_prob,
        "surprisal_bits": in_base(-log_prob, "2"),
        "index": index,
        "line": line if text.line is None else text.line,
        "column": column,
        "unit": unit,
        "file": text.file,
    }


def classified_record(found: Classification, names: Sequence[str], text: NamedText, unit: str) -> Record:
    """Return the record of a text, in `classify`; `posterior` is the old name of `probability`."""
    probability = dict(zip(names, found.posterior, strict=True))
    return {
        "text": found.text,
        "best": names[found.best],
        "probability": probability,
        "log_prob": dict(zip(names, found.log_probs, strict=True)),
        **origin(text, unit),
        "posterior": probability,
    }


def filled_record(readings: Iterable[Filled], text: NamedText, unit: str) -> Record:
    """Return the record of a text, in `fill`; `share` and `weight` are the old names of probability and log_prob."""
    fields = [
        {
            "text": one.text,
            "filled": one.filled,
            "probability": one.probability,
            "log_prob": one.weight,
            "share": one.probability,
            "weight": one.weight,
        }
        for one in readings
    ]
    return {"text": text.text, "readings": fields, **origin(text, unit)}


def reading_record(one: Filled, rank: int, text: NamedText, unit: str) -> Record:
    """Return the record of a reading, in `fill --tsv`."""
    return {
        "text": text.text,
        "rank": rank,
        "probability": one.probability,
        "log_prob": one.weight,
        "reading": one.text,
        "filled": one.filled,
        **origin(text, unit),
    }


def suspect_record(
    suspect: Suspect, best: int | None, index: int, location: tuple[int, int], text: NamedText, unit: str
) -> Record:
    """Return the record of a word that does not fit, in `proof`, with `best` proposals, or all for None."""
    line, column = location
    proposals = [
        in_unit({"character": one.character, "probability": one.probability}, unit)
        | {"replacement": one.replacement, "kind": one.kind}
        for one in suspect.proposals[:best]
    ]
    record = {"line": line, "column": column, "character": suspect.character, "gain": suspect.gain,
              "proposals": proposals, "index": index, "unit": unit, "file": text.file,
              "word": suspect.word, "replacement": suspect.replacement, "kind": suspect.kind}  # fmt: skip
    return in_unit(record, unit)


def sample_record(sample: Sample, prompt: str, index: int, unit: str, *, per_char: bool = False) -> Record:
    """Return the record of a text that was drawn, in `sample`."""
    record = {
        "text": prompt + sample.text,
        "prompt": prompt,
        "log_prob": sample.log_prob,
        "ended": sample.has_ended,
        "index": index,
        "unit": unit,
        "log_kept": sample.log_kept,
    }
    drawn = {} if sample.label is None else {"label": sample.label}
    return record | drawn | ({"log_probs": list(sample.log_probs)} if per_char else {})


ACTIVATION_KEYS = ("index", "character", "activation", "gates", "unit")
"""Keys of a character in `cells --cell`."""


def activation_record(found: Activations, layer: int, cell: int, index: int, unit: str) -> Record:
    """Return the record of a character, in `cells --cell`."""
    gates = {name: float(values[layer, index, cell]) for name, values in found.gates.items()}
    values = (index, found.tokens[index], float(found.cells[layer, index, cell]), gates, unit)
    return in_unit(dict(zip(ACTIVATION_KEYS, values, strict=True)), unit, is_new=True)


def cell_record(score: CellScore, member: int, unit: str) -> Record:
    """Return the record of a cell and a property, in `cells`."""
    record = asdict(score)
    return {"property": record.pop("name"), **record, "member": member, "unit": unit}


def copies_record(found: Copies, path: str) -> Record:
    """Return the record of a text, in `copies`."""
    return {
        "characters": found.characters,
        "min_length": found.min_length,
        "copied": found.copied,
        "fraction": found.fraction,
        "longest": found.longest,
        "novel": list(found.novel),
        "runs": [copy_record(run) for run in found.runs],
        "file": path,
    }


def copy_record(run: Copy, location: tuple[int, int] | None = None) -> Record:
    """Return the record of a run, in `copies`, and with its line and column in `copies --tsv`."""
    record = {
        "index": run.index,
        "length": len(run),
        "text": run.text,
        "corpus": run.source,
        "corpus_index": run.source_index,
        "corpus_line": run.source_line,
        "places": run.places,
    }
    return record if location is None else {"line": location[0], "column": location[1], **record}


def next_record(found: Continuation, kind: str, rank: int, prompt: str, unit: str) -> Record:
    """Return the record of what may follow a prompt, in `next`; kind is "character" or "word"."""
    return {
        "kind": kind,
        "rank": rank,
        "text": found.text,
        "word": found.word,
        "probability": found.probability,
        "log_prob": found.log_prob,
        "prompt": prompt,
        "unit": unit,
    }
