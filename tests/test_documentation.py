"""README and docs name the sources of the texts that their commands read, and all keys of the model file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import charlm
from charlm.checkpoint.container import open_container
from charlm.checkpoint.strict_json import parse_json

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
PLACEHOLDERS = {f"{name}.txt" for name in ("corpus", "new", "a", "b", "c", "first90", "last10", "letter", "book")}
"""Placeholders for texts of the reader."""
SOURCES = (TOP / "corpora/SOURCES.md").read_text(encoding="utf-8")


def texts_of(page: Path) -> set[str]:
    """Return the texts that the commands of a page read."""
    commands = re.findall(r"(?:charlm|python -m benchmarks)[^`\n]*", page.read_text(encoding="utf-8"))
    return {text for command in commands for text in re.findall(r"[\w/.-]+\.txt\b", command)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_text_of_every_command_is_in_the_clone_or_has_a_source(page: Path) -> None:
    elsewhere = {text for text in texts_of(page) - PLACEHOLDERS if not (TOP / text).is_file()}
    for text in elsewhere:
        assert re.search(rf"^\| `{re.escape(text)}` \|.*\| \w+/[\w-]+, `", SOURCES, re.MULTILINE), text
    if elsewhere:
        assert "SOURCES.md" in page.read_text(encoding="utf-8")


def test_commands_that_read_texts_are_found() -> None:
    assert {"tinyshakespeare.txt", "names.txt", "corpora/dinosaurs.txt"} <= set().union(*map(texts_of, PAGES))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_keys_of_the_model_file_are_documented(bidirectional: bool, tmp_path: Path) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "m.safetensors"
    text.write_text("hello world\n" * 20)
    charlm.train(text, path, hidden=4, layers=1, steps=1, batch=2, bptt=8, threads=1, bidirectional=bidirectional)
    with open_container(path, {"F32"}, "") as container:
        content = parse_json(container.metadata["charlm"])
    assert isinstance(content, dict)
    page = (TOP / "docs/architecture.md").read_text(encoding="utf-8")
    model = page[page.index("**Model**") : page.index("**State**")]
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", model))))
    keys = content.keys() | content["config"].keys() | content["vocabulary"].keys()
    assert {"format_version", "recurrent_dropout", "tokens"} <= keys
    assert ("bidirectional" in keys) is bidirectional
    assert not keys - words
