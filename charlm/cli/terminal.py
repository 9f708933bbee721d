"""Text that is safe on a terminal, and messages to stderr."""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress

import click

from charlm.cli.flags import with_flags

UNSAFE = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories of control characters, lone surrogates, and separators of lines and paragraphs."""
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufff9\ufffa\ufffb")
"""Marks of text direction and interlinear annotation, which reorder the text around them."""


QUIET = "charlm.quiet"
"""Key of click's context that is set by -q."""


def escape(text: str, keep: str = "") -> str:
    """Replace characters that control a terminal or reorder a line by Python escapes, such as \\x1b.

    Parameters
    ----------
    text : any text
    keep : control characters that stay, such as a newline
    """

    def is_safe(character: str) -> bool:
        return unicodedata.category(character) not in UNSAFE and character not in REORDERING

    return "".join(c if c in keep or is_safe(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def for_output(text: str) -> str:
    """Return a text for standard output: unchanged for a pipe, control characters escaped for a terminal."""
    return escape(text, keep="\n\t") if sys.stdout.isatty() else text


def shows_colors() -> bool:
    """Return whether to print colours: as NO_COLOR or FORCE_COLOR says, else if standard output is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


def is_quiet() -> bool:
    """Return whether the current command runs with -q."""
    context = click.get_current_context(silent=True)
    return context is not None and QUIET in context.meta


def warn(message: str) -> None:
    """Print a message to stderr as `warn_as_is` does, with names of parameters replaced by flags."""
    warn_as_is(with_flags(message))


def warn_as_is(message: str) -> None:
    """Print a message that may contain any text to stderr, unless the command runs with -q.

    Errors are printed after a command, and always. A stream that cannot be written is ignored.
    """
    if is_quiet():
        return
    with suppress(OSError):
        print(f"charlm: {escape(message)}", file=sys.stderr)
