"""Lines and columns of offsets."""

from __future__ import annotations

from charlm.text.position import line_and_column


def test_line_and_column_count_from_one() -> None:
    text = "ab\n\ncd"
    assert [line_and_column(text, offset) for offset in range(len(text) + 1)] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (3, 3),
    ]  # fmt: skip
