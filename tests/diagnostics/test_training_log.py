"""The log of a training run: its series, and which rows remain of a long one."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from charlm.diagnostics.training_log import TrainingLog, read_log
from charlm.errors import CheckpointError

ROWS = [
    {"step": 1, "seconds": 0.5, "train_loss": 3.0, "valid_loss": None},
    {"step": 2, "seconds": 1.5, "train_loss": None, "valid_loss": 2.5},
    {"step": 3, "seconds": 2.5, "train_loss": 2.0, "member_losses": [1, 2]},
]


def test_series_has_the_rows_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + '{"step": 4, "train_lo')
    log = read_log(path)
    assert log.series("train_loss") == [(1, 3.0), (3, 2.0)]
    assert log.series("valid_loss", "seconds") == [(1.5, 2.5)]
    assert log.series("grad_norm") == []


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), ("poem\n", "no row of a training log in it")])
def test_file_that_is_no_log_is_refused(tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "a.log.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=f"a.log.jsonl: {reason}"):
        read_log(path)


@pytest.mark.parametrize("count", [30, 150])
def test_thinned_log_keeps_evaluations_and_spaced_rows(count: int) -> None:
    rows = tuple(
        {"step": float(k), "train_loss": 1.0} | ({"valid_loss": 2.0} if k % 50 == 49 else {}) for k in range(1000)
    )
    thinned = TrainingLog(rows).thinned(count)
    assert len(thinned.rows) <= count
    assert thinned.series("valid_loss") == TrainingLog(rows).series("valid_loss")
    steps = [row["step"] for row in thinned.rows]
    assert steps == sorted(steps)
    assert max(b - a for a, b in pairwise(steps)) <= 100
    assert TrainingLog(rows[:count]).thinned(count).rows == rows[:count]
