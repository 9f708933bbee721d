"""What a terminal may be shown."""

from __future__ import annotations

import sys
import unicodedata
from contextlib import suppress

from charlm.cli.flags import with_flags

UNSAFE = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories: controls (with the escape), lone surrogates, separators of lines and paragraphs."""
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufff9\ufffa\ufffb")
"""Embeddings, overrides and isolates of direction, and interlinear annotation: they reorder what stands around them."""


def escape(text: str, keep: str = "") -> str:
    """Replace characters that could steer a terminal by a visible form, such as \\x1b.

    keep: control characters that pass, such as a newline.
    """
    return "".join(c if c in keep or is_harmless(c) else visible(c) for c in text)


def is_harmless(character: str) -> bool:
    """Whether a character shows, joins or marks text, and cannot steer a terminal or turn the order of a line."""
    return unicodedata.category(character) not in UNSAFE and character not in TURNING


def for_output(text: str) -> str:
    """Return a text as standard output may have it: raw into a pipe, control characters escaped on a terminal."""
    return escape(text, keep="\n\t") if sys.stdout.isatty() else text


def visible(character: str) -> str:
    """Return the escape sequence by which Python writes a character."""
    return character.encode("unicode_escape").decode("ascii")


def warn(message: str) -> None:
    """Print a message to stderr, with flags in place of parameters; ignore a stream that cannot be written."""
    with suppress(OSError):
        print(f"charlm: {escape(with_flags(message))}", file=sys.stderr)
