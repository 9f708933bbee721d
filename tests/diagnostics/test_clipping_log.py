"""Gradient clipping, as recorded in the log of a run."""

from __future__ import annotations

import json
from pathlib import Path

from charlm.diagnostics.clipping_log import Clipping, read_clipping


def test_norms_above_the_limit_are_counted_as_clipped(tmp_path: Path) -> None:
    log = tmp_path / "run.log.jsonl"
    log.write_text("".join(json.dumps({"step": k, "grad_norm": norm}) + "\n" for k, norm in enumerate([0.5, 4, 1, 2])))
    assert read_clipping(log, 1.0) == Clipping(1.0, 4, 2, 1.5, 4.0)
    assert read_clipping(log, 0) == Clipping(0, 4, 0, 1.5, 4.0)


def test_rows_without_a_norm_are_ignored(tmp_path: Path) -> None:
    log = tmp_path / "run.log.jsonl"
    rows = ['{"step": 1, "grad_norm": null}', '{"step": 2}', '{"step": 3, "grad_norm": %s}' % ("9" * 400),
            '{"step": 4, "grad_norm": NaN}', '{"step": 5, "grad_norm": 3}', '{"step": 6, "grad_n']  # fmt: skip
    log.write_text("\n".join(rows))
    assert read_clipping(log, 1.0) == Clipping(1.0, 1, 1, 3.0, 3.0)


def test_missing_or_empty_log_gives_none(tmp_path: Path) -> None:
    assert read_clipping(tmp_path / "none.log.jsonl", 1.0) is None
    (tmp_path / "empty.log.jsonl").touch()
    assert read_clipping(tmp_path / "empty.log.jsonl", 1.0) is None
