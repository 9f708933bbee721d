"""Models whose pages are tested: of a text, of lines with two members, of words, and one with a hostile vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import TrainingRecord
from charlm.config import NetworkConfig, TextConfig
from charlm.diagnostics.training_log import TrainingLog
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.page.facts import Inspection
from charlm.page.passage import take_passage
from charlm.text.vocabulary import Vocabulary

VERSE = "The dog (a fox) sat.\nNo fox can run.\n\n"
HOSTILE = "</script><script>document.title='run'</script></style>&amp;\u2028\u202e\x00\x1b[31m{{script}}"


def make_model(
    text: str, cell: str, *, layers: int = 1, members: int = 1, lines: bool = False, unit: str = "char",
    training: TrainingRecord | None = None,
) -> LanguageModel:  # fmt: skip
    """Return a model with random weights and the tokens of a text."""
    config = TextConfig(lines=lines, unit=unit)
    tokens = Vocabulary(("<EOS>", "<UNK>"), unit).split(text)
    vocabulary = Vocabulary.build(dict.fromkeys(tokens, 1), unit=unit)
    network = Network(NetworkConfig(cell, 7, layers), len(vocabulary), start=vocabulary.eos)
    params = [network.initial(np.random.default_rng(seed)) for seed in range(members)]
    for one in params:
        one.flat *= 3
    return LanguageModel(network, params, vocabulary, config, training)


def inspection_of(model: LanguageModel, text: str, *, length: int = 120, log: TrainingLog | None = None,
                  name: str = "m.safetensors") -> Inspection:  # fmt: skip
    """Return what a page shows of a model on a text."""
    passage = take_passage(model.clean(text), start=0, length=length, limit=2000)
    return Inspection(model, passage, name, len(model.members) - 1, log)


@pytest.fixture(scope="session")
def log() -> TrainingLog:
    """Return a log of 30 rows."""
    rows = [
        {"step": float(k), "train_loss": 3 - k / 20, "learning_rate": 0.01, "grad_norm": 0.5 + k % 3}
        | ({"valid_loss": 3 - k / 25} if k % 10 == 9 else {})
        for k in range(1, 31)
    ]
    return TrainingLog(tuple(rows))


@pytest.fixture(scope="session")
def inspections(log: TrainingLog) -> dict[str, Inspection]:
    """Return the inspections by name."""
    record = TrainingRecord(steps=30, valid=0.1, valid_loss=2.0, settings={"clip": 1.0, "held_out": "end"})
    lstm = make_model(VERSE, "lstm", layers=2, training=record)
    lines = make_model(VERSE, "gru", members=2, lines=True)
    words = make_model(VERSE, "rnn", unit="word")
    hostile = make_model(HOSTILE, "lstm")
    return {
        "text": inspection_of(lstm, VERSE * 20, log=log),
        "lines": inspection_of(lines, VERSE.replace("\n\n", "\n") * 20),
        "words": inspection_of(words, VERSE * 20),
        "hostile": inspection_of(hostile, HOSTILE * 3, name=f"{HOSTILE}.safetensors"),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: TrainingLog) -> Path:
    """Change to a folder with a model, its log and a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    make_model(VERSE, "lstm").save(tmp_path / "charlm.safetensors")
    (tmp_path / "charlm.log.jsonl").write_text(
        "".join(json.dumps({**row, "step": int(row["step"])}) + "\n" for row in log.rows)
    )
    (tmp_path / "t.txt").write_text(VERSE * 20)
    return tmp_path
