"""The advice of --lines: for lists of names and words, and not for prose, verse, music and code."""

from __future__ import annotations

from pathlib import Path

import pytest

from charlm.text.corpus import Corpus
from charlm.text.lists import is_item, is_list

TOP = Path(__file__).parents[2]


def corpus(tmp_path: Path, text: str) -> Corpus:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return Corpus.read([path])


def names(n: int) -> str:
    return "".join(f"name{chr(97 + k % 26)}\n" for k in range(n))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("corpora/dinosaurs.txt", True), ("corpora/lighthouse.txt", False), ("corpora/river.txt", False),
     ("corpora/tunes.abc", False), ("README.md", False), ("charlm/cli/train.py", False), ("Makefile", False)],
)  # fmt: skip
def test_files_of_the_clone(name: str, expected: bool) -> None:
    assert is_list(Corpus.read([TOP / name])) is expected


@pytest.mark.parametrize("item", ["anna", "New York City", "O'Brien", "f.org", "12,5", "en\tword", "北京", "a" * 32])
def test_item_of_a_list(item: str) -> None:
    assert is_item(item)


@pytest.mark.parametrize(
    "line",
    ["", " ", "  return x", "\tpass", "so much depends upon", "else:", "a word,", "渡口的石阶。", "a" * 33],
)  # fmt: skip
def test_line_of_verse_or_code_is_no_item(line: str) -> None:
    assert not is_item(line)


def test_short_or_mixed_text_is_no_list(tmp_path: Path) -> None:
    assert is_list(corpus(tmp_path, names(40)))
    assert not is_list(corpus(tmp_path, names(15)))
    assert is_list(corpus(tmp_path, names(100) + "One line of prose among the names.\n"))
    assert not is_list(corpus(tmp_path, (names(9) + "One line of prose in ten.\n") * 10))
