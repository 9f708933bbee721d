"""Completion of model files by the shell; click completes commands, options, choices and other files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from charlm.cli.arguments import MODEL_SUFFIX

if TYPE_CHECKING:  # `--help` needs no completion
    from click.shell_completion import CompletionItem

STATE_SUFFIX = ".resume.safetensors"
"""Suffix of the states that earlier versions wrote."""


def model_files(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the model files that start with an incomplete path, and ask the shell to complete folders."""
    from click.shell_completion import CompletionItem

    folder, start = os.path.split(incomplete)
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:  # there is no such folder yet
        names = []
    models = [
        CompletionItem(os.path.join(folder, name))
        for name in names
        if name.startswith(start) and name.endswith(MODEL_SUFFIX) and not name.endswith(STATE_SUFFIX)
    ]
    return [CompletionItem(incomplete, type="dir"), *models]  # in bash, a folder replaces the items before it
