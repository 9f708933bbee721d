"""Train and write the loss of each step to a file: `python -m tests.engines.driver`, alone or under torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from charlm.config import EngineConfig, TextConfig
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions


def losses(
    text: Path | str, model: Path | str, engine: str, settings: dict[str, Any], *,
    lines: bool = False, task: str = "language", resume: bool = False, stop_at: int | None = None,
) -> list[float]:  # fmt: skip
    """Train, stop after the step `stop_at` if given, and return the loss of each step."""
    found = []
    config = EngineConfig(engine, "auto" if engine == "numpy" else "cpu")
    options = RunOptions(
        TextConfig(lines=lines, task=task), config, overwrite=not resume, resume=resume, keep_state=True
    )
    with Run([text], model, settings, options) as run:
        for report in run.reports():
            found.append(report.train_loss)
            if report.step == stop_at:
                run.stop()
        if run.group.is_main_process:
            Path(model).with_suffix(".losses").write_text(json.dumps(found))
    return found


if __name__ == "__main__":
    losses(**json.loads(sys.argv[1]))
