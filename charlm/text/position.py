"""Line and column of a position in a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    r"""Return the line and the column of an offset, both from 1.

    >>> line_and_column("ab\ncd", 4)
    (2, 2)
    """
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def lines_and_columns(text: str, offsets: Iterable[int]) -> Iterator[tuple[int, int]]:
    r"""Yield the line and the column of ascending offsets, in time linear in the length of the text.

    >>> list(lines_and_columns("ab\ncd", [1, 4]))
    [(1, 2), (2, 2)]
    """
    line, start, last = 1, 0, 0
    for offset in offsets:
        if newlines := text.count("\n", last, offset):
            line += newlines
            start = text.rfind("\n", last, offset) + 1
        last = offset
        yield line, offset - start + 1
