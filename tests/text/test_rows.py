"""Labelled texts from files: rows, labels by the names of files, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import CorpusError, EncodingError
from charlm.text.rows import Row, numbered_lines, read_rows


def rows(path: Path, content: bytes) -> list[Row]:
    path.write_bytes(content)
    return list(read_rows(path, TextConfig()))


def test_label_is_before_the_first_tab(tmp_path: Path) -> None:
    found = rows(tmp_path / "a.tsv", b"de\teins\r\n\nfr\tun\tdeux\n en \t\n")
    assert found == [Row("de", "eins", 1), Row("fr", "un\tdeux", 3), Row("en", "", 4)]


def test_name_of_a_file_without_tabs_is_the_label(tmp_path: Path) -> None:
    found = rows(tmp_path / "de.words.txt", b"eins\n\nzwei\tdrei\n")
    assert found == [Row("de", "eins", 1), Row("de", "zwei\tdrei", 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"de\ta\nb\n", "a.tsv: line 2 has no tab; expected: label TAB text"),
        (b"de\ta\n\t b\n", "a.tsv: line 2 has no label before its tab"),
        (b"de\ta\nfr\t\xff\n", "a.tsv: byte 8 "),
    ],
)
def test_bad_line_is_refused_with_its_number(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CorpusError) as refused:
        rows(tmp_path / "a.tsv", content)
    assert message in str(refused.value)
    assert isinstance(refused.value, EncodingError) == (b"\xff" in content)


@given(st.lists(st.text(st.sampled_from("ab\n"), max_size=6)))
def test_lines_do_not_depend_on_chunks(chunks: list[str]) -> None:
    text = "".join(chunks)
    expected = text.split("\n")
    expected = expected[:-1] if expected[-1] == "" else expected
    assert list(numbered_lines(chunks)) == list(enumerate(expected, 1))
