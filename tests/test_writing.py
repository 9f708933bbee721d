"""The session of `charlm write`: continuations, steps, undo and redo."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm import LanguageModel, Mixture
from charlm.text_model import TextModel
from charlm.writing import MAX_TEMPERATURE, MIN_TEMPERATURE, WritingSession
from tests.cli.tiny import make_model


@pytest.fixture(params=["text", "lines", "words", "mixture"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> TextModel:
    """A model of each kind."""
    kind, path = request.param, tmp_path / "m.safetensors"
    if kind == "words":
        return make_model(path, tokens=["ab", " ab", " cd", ".", "\n"], unit="word")
    if kind == "lines":
        return make_model(path, tokens="abcd ", lines=True)
    record: dict[str, Any] = {"sources": ["a.txt"]}
    first = make_model(path, training=record)
    if kind == "text":
        return first
    return Mixture([first, make_model(tmp_path / "b.safetensors", seed=1, tokens="abx \n", training=record)])


def start(model: TextModel, text: str = "ab c", **settings: Any) -> WritingSession:
    return WritingSession(model, text, seed=3, **settings)


def test_a_continuation_has_its_probability_and_at_most_n_words(model: TextModel) -> None:
    for text in ("", "ab c"):
        for words in (1, 3):
            session = start(model, text, words=words)
            assert 1 <= len(session.phrases) <= 8
            assert len({phrase.text for phrase in session.phrases}) == len(session.phrases)
            for phrase in session.phrases:
                assert len(phrase.text.split()) <= words
                ends = model.text.lines and phrase.text.endswith("\n")
                score = model.score(phrase.text.removesuffix("\n") if ends else phrase.text, end=ends, context=text)
                if model.text.unit == "char":  # two words without a space between them are read as one
                    assert phrase.log_prob == pytest.approx(score.log_prob, abs=1e-4)
                assert phrase.probability == math.exp(phrase.log_prob)
            log_probs = [phrase.log_prob for phrase in session.phrases]
            assert log_probs == sorted(log_probs, reverse=True)


def test_steps_that_are_read_piece_by_piece_equal_one_text(model: TextModel) -> None:
    """The states are kept, and the continuations do not depend on how the text was entered."""
    pieces = ["ab", " cd", "\n", "ab ab."]
    session = start(model, "")
    for piece in pieces:
        session.add(piece)
    whole = start(model, "".join(pieces))
    assert session.text == whole.text
    expected = [(phrase.text, pytest.approx(phrase.log_prob, abs=1e-4)) for phrase in whole.phrases]
    assert [(phrase.text, phrase.log_prob) for phrase in session.phrases] == expected


def test_picking_adds_the_continuation(model: TextModel) -> None:
    session = start(model)
    chosen = session.phrases[1].text
    session.pick(2)
    assert session.text == "ab c" + chosen
    for number in (0, len(session.phrases) + 1):
        with pytest.raises(IndexError):
            session.pick(number)


def test_undo_and_redo_restore_texts_and_continuations_without_reading(
    model: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start(model)
    seen = [(session.text, session.phrases)]
    for step in (lambda: session.pick(1), lambda: session.add(" ab")):
        step()
        seen.append((session.text, session.phrases))
    network = model.prepared
    for name in ("advance", "step", "stepper"):
        monkeypatch.setattr(type(network), name, None)
    assert [(session.undo(), session.text, session.phrases) for _ in range(3)] == [
        (True, *seen[1]), (True, *seen[0]), (False, *seen[0]),
    ]  # fmt: skip
    assert [(session.redo(), session.text, session.phrases) for _ in range(3)] == [
        (True, *seen[1]), (True, *seen[2]), (False, *seen[2]),
    ]  # fmt: skip


def test_a_new_step_replaces_what_was_undone(model: TextModel) -> None:
    session = start(model)
    session.add(" ab")
    session.undo()
    session.add(" cd")
    assert not session.redo()
    assert session.text == "ab c cd"
    session.add("")
    assert session.undo()
    assert session.text == "ab c"


def test_settings_change_the_continuations_within_their_ranges(model: TextModel) -> None:
    session = start(model, words=2)
    session.longer()
    assert session.words == 3
    for _ in range(9):
        session.shorter()
    assert session.words == 1
    assert all(len(phrase.text.split()) <= 1 for phrase in session.phrases)
    for change, bound in ((session.warmer, MAX_TEMPERATURE), (session.cooler, MIN_TEMPERATURE)):
        for _ in range(30):
            change()
        assert session.temperature == bound
    before = session.phrases
    session.warmer()
    session.more()
    assert session.phrases != before or len(before) < 8


def test_text_is_normalized_like_the_training_text(tmp_path: Path) -> None:
    session = start(make_model(tmp_path / "m.safetensors"), "")
    session.add("ab\r\ncd")
    assert session.text == "ab\ncd"


def test_a_word_that_the_limit_cuts_is_no_part_of_a_continuation(tmp_path: Path) -> None:
    """A model that draws hardly any space: its words are longer than what is drawn."""
    model: LanguageModel = make_model(tmp_path / "m.safetensors", tokens="ab ")
    model.params["head.bias"][:] = np.array([-50, -50, -2.0, 0, 0])
    texts = [phrase.text for phrase in start(model, "", words=2, count=9).phrases]
    assert {len(text.split()) for text in texts} == {1, 2}
    assert all(len(text) < 24 for text in texts if len(text.split()) == 2)
