"""Conditional language modelling: each line is a text with a label, which the network reads with every character.

    h<t> = cell(h<t-1>, (one-hot x<t>, one-hot label))
    p(x<t+1> | x<1> ... x<t>, label) = softmax(W_head h<t> + b_head)

The columns of W_ih for the labels come after those of the vocabulary. A label adds its column to that of each token, so
the model of one label is a language model without labels: `StoredModel.conditioned`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, ClassVar

from charlm.config import TextConfig
from charlm.errors import CorpusError
from charlm.tasks.task import Task
from charlm.text.reading import name_of
from charlm.text.rows import read_rows
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import EOS


class Conditional(Task):
    """One stack reads each text with its label and predicts its next character. Each line is a text."""

    does = "predicts text with a label"
    commands = ("sample", "score", "next", "write", "classify")
    network: ClassVar[Mapping[str, Any]] = {"bidirectional": False, "tied": False}

    def text(self, config: TextConfig) -> TextConfig:
        """See `Task.text`. Lines are documents."""
        return replace(super().text(config), lines=True)

    def sizes(self, labels: int) -> dict[str, int]:
        """See `Task.sizes`. The network reads the labels."""
        return {"conditions": labels}

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> ConditionalScheme:
        """See `Task.scheme`."""
        return ConditionalScheme(labels)


@dataclass
class ConditionalScheme:
    """Characters with the label of their row: see `charlm.text.symbols.Scheme`."""

    labels: tuple[str, ...] | None
    min_count: int = 1
    is_condition: bool = True

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the symbols of each row; CorpusError if a row has no text."""
        for row in read_rows(path, config, tuning):
            if not row.text:
                raise CorpusError(f"{name_of(path)}: line {row.line} has the label {row.label!r} and no text after it")
            yield [*(f"{character}\t{row.label}" for character in row.text), EOS]

    def split(self, symbol: str) -> tuple[str, str | None]:
        """Return the character of a symbol, and its label."""
        return symbol[0], symbol[2:]
