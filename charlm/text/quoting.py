"""Texts in one line, for messages and for the `repr` of results."""

from __future__ import annotations

from collections.abc import Sequence

MAX_QUOTED = 40
"""Characters of a text that are quoted."""


def quoted(text: str) -> str:
    """Return a text in quotes, with its invisible characters escaped; a long one is cut.

    >>> quoted("red\\x1b[31m")
    "'red\\\\x1b[31m'"
    """
    return repr(text) if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 3]!r}..."


def listed(labels: Sequence[str], limit: int = 20) -> str:
    """Return labels for a message; the first ones of many."""
    return ", ".join(labels[:limit]) + ", ..." * (len(labels) > limit)
