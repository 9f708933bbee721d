"""Untrained models with few weights, and commands that run in the process of the test, in milliseconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from charlm.checkpoint import TrainingRecord
from charlm.cli import run
from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.text.vocabulary import Vocabulary

CHARACTERS = "abcd \n"


def make_model(
    path: Path, *, seed: int = 0, tokens: str | list[str] = CHARACTERS, unit: str = "char", lines: bool = False,
    bidirectional: bool = False, training: dict[str, Any] | None = None,
) -> LanguageModel:  # fmt: skip
    """Write a model with random weights, large enough that no two characters are equally probable."""
    vocabulary = Vocabulary.build(dict.fromkeys(tokens, 1), unit=unit)
    network = make_network(
        NetworkConfig("rnn", 5, 1, bidirectional=bidirectional), len(vocabulary), start=vocabulary.eos
    )
    params = network.initial(np.random.default_rng(seed))
    params.flat *= 3
    model = LanguageModel(network, params, vocabulary, TextConfig(unit=unit, lines=lines),
                          TrainingRecord.from_json(training or {}))  # fmt: skip
    model.save(path)
    return model


class Shown(NamedTuple):
    """Output of a command."""

    out: str
    err: str


class Terminal:
    """Runs commands in the process of the test and in its folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> Shown:
        """Run a command that must end with `code`."""
        self._capsys.readouterr()
        ended = run([str(word) for word in arguments])
        shown = Shown(*self._capsys.readouterr())
        assert ended == code, shown.err
        return shown


def amounts(text: str) -> list[tuple[float, str, str]]:
    """Return every figure like "1.234 bits/char" as (1.234, "bits", "char")."""
    return [(float(number), name, per) for number, name, per in re.findall(r"(-?[\d.]+) (nats|bits|bans)/(\w+)", text)]
