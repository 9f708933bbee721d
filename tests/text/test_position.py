"""Lines and columns of offsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from charlm.text.position import line_and_column, lines_and_columns


def test_line_and_column_count_from_one() -> None:
    text = "ab\n\ncd"
    assert [line_and_column(text, offset) for offset in range(len(text) + 1)] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2), (3, 3),
    ]  # fmt: skip


@given(st.text(alphabet="ab\n"), st.data())
def test_lines_and_columns_of_ascending_offsets_are_those_of_each(text: str, data: st.DataObject) -> None:
    offsets = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    assert list(lines_and_columns(text, offsets)) == [line_and_column(text, offset) for offset in offsets]
