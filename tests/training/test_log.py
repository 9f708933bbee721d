"""The log of a run that is resumed: rows of later steps and rows that are cut are removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.runs.log import LOG_KEYS, Log

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
def test_a_resumed_log_continues_with_whole_rows(tmp_path: Path, tail: str, step: int, kept: int) -> None:
    path = tmp_path / "m.log.jsonl"
    path.write_text(f"{ROWS[0]}\n{ROWS[1]}\n{tail}")
    notes: list[str] = []
    with Log(path, step, notes) as log:
        log.write(dict.fromkeys(LOG_KEYS, 31))
    lines = path.read_text().split("\n")
    assert lines[:kept] == ROWS[:kept]
    assert [json.loads(line) for line in lines[kept:-1]] == [dict.fromkeys(LOG_KEYS, 31)]
    assert lines[-1] == ""
    assert notes == []


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    path = tmp_path / "m.log.jsonl"
    path.write_text(f"{ROWS[0]}\n")
    with Log(path, 0, []):
        assert path.read_text() == ""
