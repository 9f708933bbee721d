"""One deliberate fault of the program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Replace a piece of one file's text, and expect a test to fail.

    Parameters
    ----------
    what : str
        The consequence that a test must notice, as a short phrase.
    file : str
        The file to change, relative to the repository.
    before, after : str
        The text to replace and its replacement. `before` occurs exactly once in the file.
    tests : tuple of str
        Arguments for pytest: the files or tests that must fail.
    edits : tuple of (str, str, str)
        Further replacements (file, before, after) of a fault that spans several lines or files.
    needs_torch : bool
        Whether the tests need PyTorch.
    """

    what: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    edits: tuple[tuple[str, str, str], ...] = ()
    needs_torch: bool = False

    def replacements(self) -> tuple[tuple[str, str, str], ...]:
        """Return every replacement as (file, before, after)."""
        return ((self.file, self.before, self.after), *self.edits)
