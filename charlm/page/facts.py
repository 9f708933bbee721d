"""Everything that a page shows, as one object of plain values and arrays: the numbers of the Python API."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from charlm.arrays import Array, finite_or_none
from charlm.checks import is_real
from charlm.config import SampleConfig
from charlm.diagnostics.activations import Activations, read_cells
from charlm.diagnostics.cell_ranking import CellScore, rank_cells
from charlm.diagnostics.gradient_flow import GradientFlow
from charlm.diagnostics.properties import PROPERTIES, measure_properties
from charlm.diagnostics.saliency import measure_saliency
from charlm.diagnostics.training_log import TrainingLog
from charlm.kernels.threads import cores_for, parallel_map
from charlm.model import LanguageModel
from charlm.page.passage import Passage
from charlm.page.tuning import DEFAULT_TUNING, PageTuning
from charlm.sampling.expected import continue_from
from charlm.scoring.heat_map import LIMITS
from charlm.scoring.score import CharScore
from charlm.version import __version__

Facts = dict[str, Any]
SEED = 0
"""Seed of the texts that the model writes from the positions of the text."""


@dataclass(frozen=True)
class Inspection:
    """What to inspect.

    Attributes
    ----------
    model : LanguageModel
        A model of one direction.
    passage : Passage
        The text, normalized as the model does.
    name : str
        Name of the model file, as it is shown.
    member : int
        Member of a mixture whose inside is shown, from 0. Probabilities are those of the mixture.
    log : TrainingLog or None
        The log of the training, if there is one.
    tuning : PageTuning
        How much is computed.
    """

    model: LanguageModel
    passage: Passage
    name: str
    member: int = 0
    log: TrainingLog | None = None
    tuning: PageTuning = DEFAULT_TUNING


def collect(inspection: Inspection, threads: int | None = None) -> Facts:
    """Return all facts; independent ones are computed on several threads.

    Raises
    ------
    ConfigError
        If the model is bidirectional, or has no such member.
    """
    inspection.model.inspected(inspection.member)
    sections: Sequence[Callable[[Inspection], Facts]] = (score_facts, expected_facts, cell_facts, gradient_facts)
    found = parallel_map(lambda section: section(inspection), sections, cores_for(threads))  # the longest first
    facts = {"charlm": __version__, "model": model_facts(inspection), "text": text_facts(inspection)}
    for section in found:
        facts |= section
    return facts | {"training": training_facts(inspection)}


def model_facts(inspection: Inspection) -> Facts:
    """Return the description of the model."""
    model = inspection.model
    return {
        "name": inspection.name,
        "config": asdict(model.config),
        "parameters": len(model.members) * model.network.size,
        "members": len(model.members),
        "member": inspection.member,
        "unit": model.text.unit,
        "vocabulary": len(model.vocabulary),
    }


def text_facts(inspection: Inspection) -> Facts:
    """Return the tokens that are shown."""
    passage, vocabulary = inspection.passage, inspection.model.vocabulary
    return {
        "start": passage.start,
        "is_cut": passage.is_cut,
        "tokens": list(vocabulary.split(passage.shown)),
        "unknown": vocabulary.unknown(passage.shown),
    }


def score_facts(inspection: Inspection) -> Facts:
    """Return the log-probability, in nats, the rank and the alternatives of each token, and the saliency of some."""
    count = inspection.tuning.alternatives
    scores = list(inspection.model.score_characters(inspection.passage.shown, end=False, alternatives=count))
    log_probs = [score.log_prob for score in scores]
    facts = {
        "limits": LIMITS,
        "log_prob": log_probs,
        "rank": [score.rank for score in scores],
        "alternatives": list(map(alternatives_of, scores)),
    }
    return {"scores": facts, "saliency": saliency_of(inspection, log_probs)}


def alternatives_of(score: CharScore) -> list[tuple[str, float]]:
    """Return the other characters with their probabilities, the most probable first."""
    return [(token, math.exp(log_prob)) for token, log_prob in score.alternatives]


def cell_facts(inspection: Inspection) -> Facts:
    """Return the ranked cells, the values of cells and gates, and the saturation of the gates."""
    model, passage, tuning = inspection.model, inspection.passage, inspection.tuning
    activations = model.activations(passage.shown, member=inspection.member)
    cells, ids = activations.cells, model.ids_of(passage.text)
    if len(passage.text) > passage.length:
        cells = read_cells(*model.inspected(inspection.member), ids)
    tokens = model.vocabulary.split(passage.text)
    ranked = rank_cells(cells, ids[1:], measure_properties(passage.text, tokens), best=tuning.cells_per_property)
    names = {score.name for score in ranked}
    layers, _, hidden = cells.shape
    return {
        "properties": {
            "characters": len(tokens),
            "ranked": [named(score) for score in ranked],
            "rare": [name for name in PROPERTIES if name not in names],
        },
        "cells": {
            "layers": layers,
            "hidden": hidden,
            "value": "tanh(c)" if "c" in activations.states else "h",
            "gates": list(activations.gates),
            "shown": shown_cells(activations, ranked, tuning.max_cell_values),
        },
        "saturation": {gate: activations.saturation(gate) for gate in activations.sigmoid_gates},
    }


def named(score: CellScore) -> Facts:
    """Return the fields of a score as `charlm cells --json` names them."""
    fields = asdict(score)
    return {"property": fields.pop("name"), **fields}


def shown_cells(activations: Activations, ranked: Sequence[CellScore], max_values: int) -> list[Facts]:
    """Return the values of the ranked cells with their gates, then of the most variable others, up to a number."""
    cells = activations.cells
    layers, characters, hidden = cells.shape
    chosen = list(dict.fromkeys((score.layer, score.cell) for score in ranked))
    variable = np.argsort(-cells.std(axis=1).ravel(), kind="stable") if characters else np.arange(layers * hidden)
    others = [divmod(int(index), hidden) for index in variable]
    rows, result = max_values // max(1, characters), []
    for layer, cell in dict.fromkeys([*chosen, *others]):
        has_gates = (layer, cell) in chosen and len(activations.gates) < rows
        rows -= 1 + len(activations.gates) * has_gates
        if rows < 0:
            break
        gates = {name: values[layer, :, cell] for name, values in activations.gates.items()} if has_gates else {}
        result.append({"layer": layer, "cell": cell, "values": cells[layer, :, cell], "gates": gates})
    return result


def expected_facts(inspection: Inspection) -> Facts:
    """Return what the model writes from each position of the text, or from the starts of words if that takes long."""
    model, tuning = inspection.model, inspection.tuning
    tokens = model.vocabulary.split(inspection.passage.shown)
    size = model.network.size * len(model.members)
    count = max(1, tuning.max_expected_multiplications // (tuning.expected_length * size))
    positions = list(range(len(tokens)))
    if len(positions) > count:
        positions = [index for index in positions if not index or not tokens[index - 1].isalnum()]
    positions = spaced(positions, count)
    config = model.sampling(SampleConfig(length=tuning.expected_length), {})
    ids = model.ids_of(inspection.passage.shown)
    texts = continue_from(model.prepared, model.vocabulary, ids, positions, config, SEED)
    return {"expected": {"temperature": config.temperature, "seed": SEED, "positions": positions, "texts": texts}}


def spaced(items: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of the items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def saliency_of(inspection: Inspection, log_probs: Sequence[float]) -> Facts:
    """Return the saliency of the characters before the most surprising characters, the nearest first."""
    model, tuning = inspection.model, inspection.tuning
    network, params = model.inspected(inspection.member)
    back = tuning.saliency_back
    count = min(tuning.max_saliency_characters, tuning.max_saliency_multiplications // (2 * back * network.size))
    indices = np.sort(np.argsort(log_probs, kind="stable")[: max(1, count)])
    if not indices.size:
        return {"back": back, "indices": [], "values": []}
    ids = model.ids_of(inspection.passage.shown)
    values = measure_saliency(network, params, ids, indices + 1, back=back)
    rows: list[Array] = [row[:index] for row, index in zip(values, indices.tolist(), strict=True)]  # without EOS
    return {"back": back, "indices": indices.tolist(), "values": [row.tolist() for row in rows]}


def gradient_facts(inspection: Inspection) -> Facts:
    """Return the gradient flow, as `charlm gradients` measures it."""
    model, tuning = inspection.model, inspection.tuning
    back, positions = tuning.gradient_back, tuning.gradient_positions
    if model.network.size > tuning.max_slow_gradient:
        back, positions = back // 2, positions // 4
    if not inspection.passage.shown.strip("\n"):
        return {"gradients": GradientFlow(np.empty((0, 0)), np.empty(0, np.intp)).as_json()}
    flow = model.gradients(inspection.passage.shown, back=back, places=positions, member=inspection.member)
    return {"gradients": flow.as_json()}


def training_facts(inspection: Inspection) -> Facts:
    """Return what the model file and the log record of the training."""
    record = inspection.model.training
    names = ("steps", "epochs", "seconds", "valid_loss", "valid")
    clip, held_out = (record.settings.get(name) for name in ("clip", "held_out"))  # the file may hold anything
    rows = inspection.log.thinned(inspection.tuning.max_log_rows).rows if inspection.log else ()
    return {
        "sources": list(record.sources),
        **{name: finite_or_none(getattr(record, name)) for name in names},
        "clip": clip if is_real(clip) else None,
        "held_out": held_out if isinstance(held_out, str) else None,
        "log": [dict(row) for row in rows],
    }
