"""What a model's training held out of a text, found again."""

from __future__ import annotations

from pathlib import Path

from charlm.config import TextConfig
from charlm.model import LanguageModel
from charlm.text.corpus import Corpus


def held_out_corpus(model: LanguageModel, text: Path) -> Corpus:
    """Return the text cut in two as when the model was trained on it, with its vocabulary."""
    record = model.training
    return Corpus.read(
        [text],
        TextConfig(lines=model.text.lines),
        vocabulary=model.vocabulary,
        valid=record["valid"],
        held_out=record["settings"]["held_out"],
        seed=record["seed"],
    )


def held_out_text(model: LanguageModel, text: Path) -> str:
    """Return the part that was held out, as text."""
    with held_out_corpus(model, text) as corpus:
        return model.vocabulary.decode(corpus.valid_ids)


def held_out_lines(model: LanguageModel, text: Path) -> list[str]:
    """Return the lines of the held-out part of a running text, but for the ones at its ends, which it cuts."""
    return held_out_text(model, text).split("\n")[1:-1]
