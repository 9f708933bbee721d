"""Sentences in CoNLL form: columns, comments, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.errors import CorpusError
from charlm.text.conll import Token, read_sentences, split_sentences, split_tokens


def read(path: Path, content: str, *, min_columns: int = 2) -> list[list[tuple[str, str]]]:
    path.write_text(content, encoding="utf-8")
    found = read_sentences(path, TextConfig(), min_columns=min_columns)
    return [[(token.text, token.label) for token in sentence] for sentence in found]


def test_first_and_last_column_count(tmp_path: Path) -> None:
    content = "# text = Ann ran\nAnn\tNNP\tB-PER\r\nran\tVBD\tO\n\n\n \nin\tIN\tO\n"
    assert read(tmp_path / "a", content) == [[("Ann", "B-PER"), ("ran", "O")], [("in", "O")]]


def test_columns_may_be_separated_by_spaces(tmp_path: Path) -> None:
    content = "Ann NNP B-PER\n#  CD O\n"
    assert read(tmp_path / "a", content) == [[("Ann", "B-PER"), ("#", "O")]]


def test_tokens_alone_are_one_column(tmp_path: Path) -> None:
    assert read(tmp_path / "a", "Ann\nran\n\nx\n", min_columns=1) == [[("Ann", "Ann"), ("ran", "ran")], [("x", "x")]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ann\tB\n\nran\n", "a: line 3 has one column; expected: token TAB label"),
        ("Ann\n", "a: line 1 has one column"),
        ("Ann\tB\n \tO\n", "a: line 2 has an empty token in its first column"),
        ("Ann\tX\tB\nran\tX\t\n", "a: line 2 has an empty label in its last column"),
    ],
)
def test_bad_line_is_refused_with_its_number(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(CorpusError) as refused:
        read(tmp_path / "a", content)
    assert message in str(refused.value)


def test_token_keeps_all_columns_and_its_line() -> None:
    lines = [(4, "Ann\tNNP\tB-PER"), (5, ""), (6, "x\ty\tz")]
    assert list(split_sentences(lines)) == [[Token(("Ann", "NNP", "B-PER"), 4)], [Token(("x", "y", "z"), 6)]]


@given(st.text(st.sampled_from("ab'1 .,\n_é")))
def test_tokens_are_where_they_say_and_all_but_spaces_are_in_one(text: str) -> None:
    tokens = split_tokens(text)
    assert all(text[offset : offset + len(token)] == token for offset, token in tokens)
    assert "".join(token for _, token in tokens) == "".join(text.split())
