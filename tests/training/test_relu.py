"""The ReLU cell learns running text with carried state at the default learning rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charlm.runs.api import train


@pytest.mark.parametrize("rate", [0.016, 0.004])
def test_relu_cell_learns_running_text(tmp_path: Path, rate: float) -> None:
    words = ["brown", "fox", "jumps", "over", "lazy", "dogs", "and", "runs", "away", "quickly"]
    text = " ".join(np.random.default_rng(0).choice(words, 6000))
    (tmp_path / "text.txt").write_text(text)
    model = train(
        tmp_path / "text.txt", tmp_path / "model.safetensors", cell="rnn-relu", hidden=96, layers=1, dropout=0.0,
        batch=16, bptt=32, steps=120, learning_rate=rate, threads=1,
    )  # fmt: skip
    assert model.training.steps > 90
    assert model.training.valid_loss < 1.2  # a uniform model: 3.1 nats per character
