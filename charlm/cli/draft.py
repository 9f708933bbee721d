"""The file of the text of `charlm write`."""

from __future__ import annotations

from pathlib import Path

import click

from charlm.cli.terminal import warn
from charlm.errors import CharlmError


class Draft:
    """The file of a text. It is written after each step, so that a crash loses nothing.

    Attributes
    ----------
    path : the file
    problem : why the last text could not be written; None if it was
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: CharlmError | None = None

    def save(self, text: str) -> None:
        """Replace the content of the file; note the problem if that fails."""
        from charlm.checkpoint.storage import atomic_write

        try:
            atomic_write(self.path, [text.encode("utf-8", "replace")])
            self.problem = None
        except CharlmError as error:
            self.problem = error

    def finish(self, text: str) -> None:
        """Save the text and say where; print it if it cannot be saved.

        Raises
        ------
        CheckpointError : the text cannot be saved
        """
        self.save(text)
        if self.problem:
            click.echo(text)
            raise self.problem
        warn(f"wrote {self.path}: {len(text):,} characters")
