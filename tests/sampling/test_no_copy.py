"""Sampling without long copies of the training text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm import CopyIndex
from charlm.errors import ConfigError
from charlm.model import LanguageModel
from tests.cli.tiny import make_model

LIMIT = 5


def corpus(path: Path, letters: str = "ab") -> CopyIndex:
    """Return the index of a text that has most substrings of 6 of these letters."""
    path.write_text("".join(np.random.default_rng(0).choice(list(letters), 120)))
    return CopyIndex.read(path, LIMIT)


def runs(text: str, source: str) -> int:
    """Return how many substrings of LIMIT + 1 characters of a text are in the source."""
    return sum(text[k : k + LIMIT + 1] in source for k in range(len(text) - LIMIT))


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"no_loop": 3, "top_k": 3}, {"match": "[a-f]{9,}"}])
def test_no_text_has_a_longer_run_than_the_limit(tmp_path: Path, lines: bool, settings: dict[str, Any]) -> None:
    model = make_model(tmp_path / "m.safetensors", tokens="abcdefgh", lines=lines, training={"sources": ["a.txt"]})
    prompt, path = "abba", tmp_path / "corpus.txt"
    free = model.sample(prompt, n=20, seed=1, length=40, **settings)
    source = "".join(f"{prompt}{sample.text}." for sample in free[:3])
    path.write_text(source)
    index = CopyIndex.read(path, LIMIT)
    limited = model.sample(prompt, n=20, seed=1, length=40, max_copy=index, **settings)
    assert sum(runs(prompt + sample.text, source) for sample in free) > 0
    assert sum(runs(prompt + sample.text, source) for sample in limited) == 0
    assert "".join(model.stream(prompt, seed=1, length=40, max_copy=index, **settings)) == limited[0].text


def test_a_prompt_that_is_a_copy_ends_there(tmp_path: Path) -> None:
    model, index = make_model(tmp_path / "m.safetensors", tokens="abc"), corpus(tmp_path / "corpus.txt")
    source = (tmp_path / "corpus.txt").read_text()
    for sample in model.sample(source[:30], n=20, seed=1, length=1, max_copy=index, can_end=False):
        assert source[25:30] + sample.text not in source


def test_the_end_of_a_line_starts_a_new_run_and_is_never_excluded(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.safetensors", tokens="abc", lines=True)
    (tmp_path / "corpus.txt").write_text("abcabc\nabcabc\n")
    index = CopyIndex.read(tmp_path / "corpus.txt", LIMIT)
    follows = {sample.text for sample in model.sample("abcab\nabcab", n=300, seed=1, length=1, max_copy=index)}
    assert follows == {"", "a", "b"}


def test_a_text_that_cannot_be_continued_is_refused(tmp_path: Path) -> None:
    model: LanguageModel = make_model(tmp_path / "m.safetensors", tokens="ab", training={"sources": ["a.txt"]})
    (tmp_path / "corpus.txt").write_text("ababaa ababab")
    with pytest.raises(ConfigError, match="every next character makes a copy of more than 5; raise `max_copy`"):
        model.sample("ababa", max_copy=CopyIndex.read(tmp_path / "corpus.txt", LIMIT))


def test_models_of_words_and_other_indexes_are_refused(tmp_path: Path) -> None:
    words = make_model(tmp_path / "words.safetensors", tokens=["ab", " cd"], unit="word")
    with pytest.raises(ConfigError, match="character by character only"):
        words.sample(max_copy=corpus(tmp_path / "corpus.txt"))
    with pytest.raises(ConfigError, match="a CopyIndex"):
        words.sample(max_copy=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="without other filters"):
        words.sample(max_copy=corpus(tmp_path / "corpus.txt"), exact=True, match="a*")
