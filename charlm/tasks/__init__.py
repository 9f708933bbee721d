"""The tasks, by name: what a network reads, what it predicts at which positions, and which stacks it has.

A task is one file and one entry here. The entry names its class without importing it, so that the command line lists
the tasks without loading NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from charlm.checks import check_choice

if TYPE_CHECKING:
    from charlm.tasks.task import Task

TASKS: dict[str, str] = {
    "language": "Language",
    "restore": "Restore",
    "classify": "Classify",
    "tag": "Tag",
    "pairs": "Pairs",
    "conditional": "Conditional",
}
"""Name in settings and model files -> class name, in the module of the same name."""


def find_task(name: str) -> Task:
    """Return the task of a name; ConfigError if there is no such task."""
    check_choice("task", name, TASKS)
    return cast("Task", getattr(import_module(f"charlm.tasks.{name}"), TASKS[name])())
