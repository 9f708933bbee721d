"""The log of a resumed run: rows of later steps and incomplete rows are deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.runs.log import LOG_KEYS, Log
from charlm.training.report import Event

ROWS = [json.dumps({"step": step}) for step in (10, 20, 30)]


@pytest.mark.parametrize(
    ("tail", "step", "kept"),
    [
        (f"{ROWS[2]}\n", 30, 3),
        (f"{ROWS[2]}\n", 29, 2),
        (ROWS[2], 30, 2),
        (ROWS[2][:-2], 30, 2),
        (f"{ROWS[2][:-2]}\n{ROWS[2]}\n", 30, 2),
        ("[30]\n", 30, 2),
        ('{"step": "30"}\n', 30, 2),
    ],
    ids=["whole", "later", "no newline", "cut", "cut in the middle", "no object", "no step"],
)
def test_resumed_log_drops_later_and_incomplete_rows(tmp_path: Path, tail: str, step: int, kept: int) -> None:
    path = tmp_path / "m.log.jsonl"
    path.write_text(f"{ROWS[0]}\n{ROWS[1]}\n{tail}")
    events: list[Event] = []
    with Log(path, step, events.append) as log:
        log.write(dict.fromkeys(LOG_KEYS, 31))
    lines = path.read_text().split("\n")
    assert lines[:kept] == ROWS[:kept]
    assert [json.loads(line) for line in lines[kept:-1]] == [dict.fromkeys(LOG_KEYS, 31)]
    assert lines[-1] == ""
    assert events == []


def test_new_run_empties_log(tmp_path: Path) -> None:
    path = tmp_path / "m.log.jsonl"
    path.write_text(f"{ROWS[0]}\n")
    with Log(path, 0):
        assert path.read_text() == ""
