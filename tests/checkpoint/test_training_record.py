"""The training record: its JSON form, unknown entries and wrong types."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from charlm.checkpoint import TrainingRecord

COMPLETE: dict[str, Any] = {
    "sources": ["a.txt", "b.txt"], "characters": 100, "digest": "ab12", "steps": 7, "epochs": 0.5, "seconds": 1.25,
    "train_loss": 2.5, "valid_loss": 2.75, "valid": 0.0, "sharpness": 1.125, "seed": 0, "settings": {"clip": 1.0},
    "line_hashes": "eJw=", "forms": {"být": 20, "byt": 3}, "label_counts": [3, 1],
}  # fmt: skip


def test_complete_record_survives_json_round_trip() -> None:
    record = TrainingRecord.from_json(COMPLETE)
    assert record.to_json() == COMPLETE
    assert (record.sources, record.logit_scale) == (("a.txt", "b.txt"), 1.125)
    assert len(COMPLETE) == len(fields(TrainingRecord)) - 1  # all but `other`


def test_unknown_entries_are_kept() -> None:
    record = TrainingRecord.from_json({"steps": 3, "colour": "red"})
    assert (record.steps, record.other) == (3, {"colour": "red"})
    assert record.to_json() == {"steps": 3, "train_loss": None, "valid_loss": None, "colour": "red"}


def test_empty_record_writes_no_entries() -> None:
    assert TrainingRecord.from_json({}) == TrainingRecord()
    assert TrainingRecord().to_json() == {}


@pytest.mark.parametrize("content", [{"digest": 7}, {"settings": [1]}, {"line_hashes": {}}, {"forms": ["byt"]}])
def test_entries_of_wrong_type_that_are_only_shown_are_dropped(content: dict[str, Any]) -> None:
    assert TrainingRecord.from_json(content) == TrainingRecord()


@pytest.mark.parametrize(
    "content",
    [
        None,
        [1],
        {"steps": "7"},
        {"sharpness": True},
        {"sources": "a"},
        {"forms": {"byt": "3"}},
        {"forms": {"byt": True}},
        {"forms": {"byt": 0}},
        {"forms": {"byt": 10**400}},
        {"label_counts": 3},
        {"label_counts": [1, 0]},
        {"label_counts": [1, 1 << 60]},
        {"label_counts": [True]},
    ],
)
def test_wrong_types_are_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"training record"):
        TrainingRecord.from_json(content)
