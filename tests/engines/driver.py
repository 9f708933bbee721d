"""Train and write losses to a file: `python -m tests.engines.driver FUNCTION ARGUMENTS`, alone or under torchrun."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charlm.config import EngineConfig, TextConfig
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions
from charlm.training.tuning import TrainingTuning


def losses(
    text: Path | str, model: Path | str, engine: str, settings: dict[str, Any], *,
    lines: bool = False, task: str = "language", remove: str = "", resume: bool = False, stop_at: int | None = None,
) -> list[float]:  # fmt: skip
    """Train, stop after the step `stop_at` if given, and return the loss of each step."""
    found = []
    config = EngineConfig(engine, "auto" if engine == "numpy" else "cpu")
    options = RunOptions(
        TextConfig(lines=lines, task=task, remove=remove), config, overwrite=not resume, resume=resume, keep_state=True
    )
    with Run([text], model, settings, options) as run:
        for report in run.reports():
            found.append(report.train_loss)
            if report.step == stop_at:
                run.stop()
        if run.group.is_main_process:
            Path(model).with_suffix(".losses").write_text(json.dumps(found))
    return found


def rounds(text: str, model: str, engine: str, settings: dict[str, Any]) -> None:
    """Train on PyTorch's CPU as on a GPU, and write for each round its last step, its mean loss and a count.

    It counts the times so far that the ranks have exchanged values of the host.
    """
    from charlm.engines.torch_engine import TorchEngine
    from charlm.engines.torch_group import TorchProcessGroup

    own, counted = TorchProcessGroup._all_reduce, []

    def all_reduce(group: TorchProcessGroup, values: Sequence[float], operation: str) -> list[float]:
        counted.append(operation)
        return own(group, values, operation)

    TorchProcessGroup._all_reduce = all_reduce  # type: ignore[method-assign]
    TorchEngine.is_asynchronous = True  # type: ignore[assignment, method-assign]
    options = RunOptions(engine=EngineConfig(engine, "cpu"))
    with Run([text], model, settings, options, tuning=TrainingTuning(round_seconds=60.0)) as run:
        found = [(report.step, report.train_loss, len(counted)) for report in run.reports()]
        if run.group.is_main_process:
            Path(model).with_suffix(".losses").write_text(json.dumps(found))


if __name__ == "__main__":
    {"losses": losses, "rounds": rounds}[sys.argv[1]](**json.loads(sys.argv[2]))
