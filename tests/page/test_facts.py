"""The facts of a page are the numbers of the Python API, as many as the tuning allows."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from charlm.config import SampleConfig
from charlm.errors import ConfigError, EmptyCorpusError
from charlm.page.facts import SEED, Inspection, collect, shown_cells, spaced
from charlm.page.passage import take_passage
from charlm.page.tuning import PageTuning
from tests.page.conftest import VERSE, inspection_of, make_model

every_inspection = pytest.mark.parametrize("name", ["text", "lines", "words", "hostile"])


@every_inspection
def test_scores_are_those_of_the_model(inspections: dict[str, Inspection], name: str) -> None:
    inspection = inspections[name]
    facts = collect(inspection, threads=1)
    scores = list(inspection.model.score_characters(inspection.passage.shown, end=False, alternatives=5))
    assert facts["text"]["tokens"] == [score.character for score in scores]
    assert facts["scores"]["log_prob"] == pytest.approx([score.log_prob for score in scores])
    assert facts["scores"]["rank"] == [score.rank for score in scores]
    assert facts["scores"]["alternatives"][3] == [(c, math.exp(log_p)) for c, log_p in scores[3].alternatives]


@every_inspection
def test_cells_and_gates_are_those_of_the_model(inspections: dict[str, Inspection], name: str) -> None:
    inspection = inspections[name]
    model, passage, member = inspection.model, inspection.passage, inspection.member
    facts = collect(inspection, threads=2)
    found = model.activations(passage.shown, member=member)
    layers, _, hidden = found.cells.shape
    assert len(facts["cells"]["shown"]) == layers * hidden
    for cell in facts["cells"]["shown"]:
        np.testing.assert_array_equal(cell["values"], found.cells[cell["layer"], :, cell["cell"]])
        for gate, values in cell["gates"].items():
            np.testing.assert_array_equal(values, found.gates[gate][cell["layer"], :, cell["cell"]])
    scores = model.cells(passage.text, member=member)
    ranked = [{"property": score.name, **asdict(score)} for score in scores]
    for record in ranked:
        del record["name"]
    assert facts["properties"]["ranked"] == ranked
    with_gates = [(one["layer"], one["cell"]) for one in facts["cells"]["shown"] if one["gates"]]
    assert with_gates == list(dict.fromkeys((one["layer"], one["cell"]) for one in ranked)) * bool(found.gates)
    for gate in found.sigmoid_gates:
        np.testing.assert_array_equal(facts["saturation"][gate], found.saturation(gate))


@every_inspection
def test_saliency_is_that_of_the_model(inspections: dict[str, Inspection], name: str) -> None:
    inspection = inspections[name]
    facts = collect(inspection, threads=2)
    back, log_probs = facts["saliency"]["back"], facts["scores"]["log_prob"]
    assert facts["saliency"]["indices"] == list(range(len(log_probs)))  # a small network: all of them
    for index, values in zip(facts["saliency"]["indices"], facts["saliency"]["values"], strict=True):
        alone = inspection.model.saliency(inspection.passage.shown, index, member=inspection.member)
        assert values == pytest.approx(alone.values[::-1][:back].tolist(), rel=1e-6, abs=1e-12)


def test_expected_texts_are_samples_of_the_model(inspections: dict[str, Inspection]) -> None:
    inspection = inspections["text"]
    expected = collect(inspection, threads=1)["expected"]
    assert expected["positions"] == list(range(120))
    prompt, config = inspection.passage.shown[:7], SampleConfig(length=20)
    assert expected["texts"][7] == inspection.model.sample(prompt, n=8, seed=SEED, config=config)[7].text


def test_gradient_flow_and_training_are_those_of_the_model(inspections: dict[str, Inspection]) -> None:
    inspection = inspections["text"]
    facts = collect(inspection, threads=1)
    flow = inspection.model.gradients(inspection.passage.shown, back=64, places=20).as_json()
    assert facts["gradients"]["norms"][1][5] == pytest.approx(flow["norms"][1][5])
    assert facts["training"] == {
        "sources": [], "steps": 30, "epochs": None, "seconds": None, "valid_loss": 2.0, "valid": 0.1, "clip": 1.0,
        "held_out": "end", "log": [dict(row) for row in (inspection.log.rows if inspection.log else ())],
    }  # fmt: skip


def test_budgets_limit_what_is_computed(inspections: dict[str, Inspection]) -> None:
    inspection = inspections["text"]
    size = inspection.model.network.size
    tuning = PageTuning(max_cell_values=11 * 120, max_expected_multiplications=20 * size * 15,
                        max_saliency_multiplications=2 * 60 * size * 6)  # fmt: skip
    facts = collect(replace(inspection, tuning=tuning), threads=1)
    cells = facts["cells"]["shown"]
    assert sum(1 + len(cell["gates"]) for cell in cells) == 11
    assert (cells[0]["layer"], cells[0]["cell"]) == (
        facts["properties"]["ranked"][0]["layer"], facts["properties"]["ranked"][0]["cell"],
    )  # fmt: skip
    positions, tokens = facts["expected"]["positions"], facts["text"]["tokens"]
    assert len(positions) == len(facts["expected"]["texts"]) == 15
    assert all(index == 0 or not tokens[index - 1].isalnum() for index in positions)
    indices = facts["saliency"]["indices"]
    assert sorted(np.argsort(facts["scores"]["log_prob"], kind="stable")[:6].tolist()) == indices


def test_other_cells_come_by_their_variance(inspections: dict[str, Inspection]) -> None:
    activations = inspections["text"].model.activations(VERSE)
    shown = shown_cells(activations, [], 5 * len(VERSE))
    spread = activations.cells.std(axis=1)
    assert [spread[one["layer"], one["cell"]] for one in shown] == sorted(spread.ravel().tolist(), reverse=True)[:5]


def test_spaced_items() -> None:
    assert spaced([1, 2, 3], 5) == [1, 2, 3]
    assert spaced(list(range(10)), 4) == [0, 2, 5, 7]


def test_cells_are_ranked_on_more_text_than_is_shown(inspections: dict[str, Inspection]) -> None:
    facts = collect(inspections["text"], threads=1)
    assert facts["properties"]["characters"] == len(VERSE) * 20
    assert len(facts["text"]["tokens"]) == 120
    assert facts["text"]["is_cut"]


def test_text_without_characters_of_its_own_has_a_page() -> None:
    facts = collect(inspection_of(make_model(VERSE, "lstm", lines=True), "\n"), threads=1)
    assert facts["gradients"]["norms"] == []
    assert facts["properties"]["ranked"] == []


def test_settings_of_a_foreign_model_file_are_checked() -> None:
    from charlm.checkpoint import TrainingRecord

    record = TrainingRecord(settings={"clip": "<b>", "held_out": ["x"]})
    training = collect(inspection_of(make_model(VERSE, "gru", training=record), "a fox"), threads=1)["training"]
    assert (training["clip"], training["held_out"]) == (None, None)


def test_passage_is_the_part_that_is_asked_for() -> None:
    passage = take_passage("abcdefghij", start=2, length=3, limit=5)
    assert (passage.text, passage.shown, passage.start, passage.is_cut) == ("cdefg", "cde", 2, True)
    whole = take_passage("abc", start=0, length=9, limit=1)
    assert (whole.text, whole.shown, whole.is_cut) == ("abc", "abc", False)
    for wrong in ({"start": -1}, {"length": 0}, {"length": 10_001}, {"limit": 0}):
        with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}` is "):
            take_passage("abc", **{"start": 0, "length": 2, "limit": 2} | wrong)
    with pytest.raises(EmptyCorpusError, match="the text has 3 characters, so none at 3"):
        take_passage("abc", start=3, length=1, limit=1)
