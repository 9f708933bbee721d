"""What a terminal may be shown."""

from __future__ import annotations

import sys
import unicodedata


def escape(text: str, keep: str = "") -> str:
    """Replace characters that could steer a terminal by a visible form, such as \\x1b.

    keep: control characters that pass, such as a newline.
    """
    return "".join(
        c if c in keep or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else visible(c)
        for c in text
    )


def visible(character: str) -> str:
    """Return the escape sequence by which Python writes a character."""
    return character.encode("unicode_escape").decode("ascii")


def warn(message: str) -> None:
    """Print a line about the work to stderr; never a reason to fail."""
    print(f"charlm: {escape(message)}", file=sys.stderr)
