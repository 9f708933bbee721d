"""Ablation of the recipe for a book at equal time: each run changes one setting or, by a patch, one constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import split_test, test_set_loss
from charlm.arrays import Array
from charlm.engines import host_engine
from charlm.nn.cells.lstm import LSTM
from charlm.optim.adam import Adam

UPDATE = Adam.update_block


class Change(NamedTuple):
    """One change to the recipe. settings: of `charlm.train`.  patched: a context that changes a constant."""

    name: str
    settings: dict[str, Any]
    patched: Any = nullcontext


@contextmanager
def weight_decay(rate: float) -> Iterator[None]:
    """Decay the weights at each update (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    def update(self: Adam, params: Array, grads: Array, learning_rate: float, *moments: Array) -> None:
        params *= 1 - learning_rate * rate
        UPDATE(self, params, grads, learning_rate, *moments)

    with patch.object(Adam, "update_block", update):
        yield


def clip_by_value(grads: Array, limit: float) -> float:
    """Clip each gradient to +-limit; return the norm before."""
    norm = float(np.sqrt(np.dot(grads, grads)))
    np.clip(grads, -limit, limit, out=grads)
    return norm


def uniform(self: LSTM, rng: np.random.Generator, hidden: int) -> Array:
    """Draw recurrent weights uniformly, as PyTorch does."""
    weights: Array = rng.uniform(-1, 1, (self.gates * hidden, hidden)) / np.sqrt(hidden)
    return weights


def no_bias(self: LSTM, hidden: int) -> Array:
    """Start with a forget bias of 0."""
    return np.zeros(self.gates * hidden)


CHANGES = (
    Change("the recipe", {}),
    Change("learning rate without warm-up", {"warmup": 0.0}),
    Change("warm-up over 2 % of the time", {"warmup": 0.02}),
    Change("constant learning rate", {"final_rate": 1.0}),
    Change("weights not averaged", {"average": 0.0}),
    Change("no random resets", {"restart_rate": 0.0}),
    Change("resets in a tenth of the streams", {"restart_rate": 0.1}),
    Change("gradients not clipped", {"clip": 0.0}),
    Change("norm clipped at 0.25", {"clip": 0.25}),
    Change("each gradient clipped at 0.001", {"clip": 0.001},
           lambda: patch.object(host_engine, "clip_by_global_norm", clip_by_value)),
    Change("recurrent weights uniform, not orthogonal", {}, lambda: patch.object(LSTM, "initial_recurrence", uniform)),
    Change("forget bias 0", {}, lambda: patch.object(LSTM, "initial_bias", no_bias)),
    Change("Adam with beta2 0.99", {}, lambda: patch.object(Adam, "beta2", 0.99)),
    Change("Adam with beta1 0.8", {}, lambda: patch.object(Adam, "beta1", 0.8)),
    Change("weight decay 0.01", {}, lambda: weight_decay(0.01)),
    Change("GRU", {"cell": "gru"}),
    Change("two layers", {"layers": 2}),
    Change("dropout 0.1", {"dropout": 0.1}),
    Change("windows twice as long", {"bptt": 96}),
    Change("batches twice as large", {"batch": 32}),
)  # fmt: skip
"""Changes to the recipe of half a minute; its `batch` is 16 and its `bptt` 48."""


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--minutes", default=0.5, show_default=True)
@click.option("--seeds", default="0", show_default=True)
@click.option("--only", multiple=True, help="Name of a change; repeatable.  [default: all]")
def main(text: Path, minutes: float, seeds: str, only: Sequence[str]) -> None:
    """Train with one change at a time; print the test loss on the last tenth of the text."""
    print(describe_machine(), "\n")
    print("| change | test loss, mean | each seed | steps |\n|---|---|---|---|")
    train_text, test_text = split_test(text.read_text(encoding="utf-8"), False, 0.1, 0)
    for change in CHANGES:
        if only and change.name not in only:
            continue
        losses: list[float] = []
        steps = 0
        for seed in map(int, seeds.split(",")):
            with TemporaryDirectory() as folder, change.patched():
                source, path = Path(folder) / "text.txt", Path(folder) / "model.safetensors"
                source.write_text(train_text, encoding="utf-8", newline="")
                model = charlm.train(source, path, minutes=minutes, seed=seed, **change.settings)
                losses.append(test_set_loss(model, test_text, False))
                steps = model.training.steps or 0
        print(
            f"| {change.name} | {mean(losses):.4f} | {' '.join(f'{loss:.4f}' for loss in losses)} | {steps:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
