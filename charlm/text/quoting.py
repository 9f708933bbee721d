"""Texts in one line, for messages and for the `repr` of results."""

from __future__ import annotations

MAX_QUOTED = 40
"""Characters of a text that are quoted."""


def quoted(text: str) -> str:
    """Return a text in quotes, with its invisible characters escaped; a long one is cut.

    >>> quoted("red\\x1b[31m")
    "'red\\\\x1b[31m'"
    """
    return repr(text) if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 3]!r}..."
