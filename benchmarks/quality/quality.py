"""Test loss of `charlm train --minutes M` over several seeds.

The test text is the last tenth of the text, or with --lines a random tenth of the distinct lines. charlm trains on a
file with the rest and holds out a part of that to select the weights. The test text is scored in two protocols:

- one pass: running text once from its start with the state carried, lines one by one with their ends;
- windows: running text in windows of 256 characters, each from a zero state, as nanoGPT reports it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import split_test, test_set_loss
from benchmarks.quality.ngram import best_order
from charlm.config import UNITS, TextConfig
from charlm.model import LanguageModel
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.training.evaluation import with_logit_scale

WINDOW = 256


def n_gram(train_text: str, test_text: str, lines: bool, unit: str = "char") -> tuple[int, float]:
    """Return the best order of Kneser-Ney and its test loss in nats per character, or per word."""
    with TemporaryDirectory() as folder:
        paths = Path(folder) / "train.txt", Path(folder) / "test.txt"
        for path, text in zip(paths, (train_text, test_text), strict=True):
            path.write_text(text, encoding="utf-8", newline="")
        settings = TextConfig(unit, lines)
        train = Corpus.read([paths[0]], settings, hold_out=HoldOut(0))
        vocabulary = train.vocabulary
        test = Corpus.read([paths[1]], settings, hold_out=HoldOut(0), vocabulary=vocabulary)
        ids = test.train_ids if lines else test.train_ids[:-1]  # the end of running text does not count
        orders = range(1, 6) if unit == "word" else range(3, 9)
        return best_order(train.train_ids, ids, len(vocabulary), orders)


class Outcome(NamedTuple):
    """Result of a run: test loss in one pass and in windows (nats per character), minutes, steps, network, curve.

    as_trained: one-pass test loss without the calibrated logit scale.
    """

    one_pass: float
    as_trained: float
    windowed: float | None
    minutes: float
    steps: int
    network: str
    curve: list[tuple[float, float]]


def windowed(model: LanguageModel, text: str) -> float:
    """Return nats per character in windows from a zero state; the first character of a window is context."""
    ids = model.vocabulary.encode(text).astype(np.intp)
    count = (len(ids) - 1) // WINDOW
    inputs, targets = (ids[k : k + count * WINDOW].reshape(count, WINDOW).T for k in (0, 1))
    total = 0.0
    for start in range(0, count, 64):
        part = slice(start, start + 64)
        streams = inputs[:, part].shape[1]
        state = model.prepared.zero_state(streams)
        total += float(model.prepared.score(inputs[:, part], targets[:, part], state)[0].sum())
    return -total / (count * WINDOW)


def train(text: str, lines: bool, minutes: float, seed: int, flags: list[str], folder: Path) -> tuple[Path, Path]:
    """Train with the command line; return the paths of the training text and of the model, both in `folder`."""
    source, path = folder / "text.txt", folder / "model.safetensors"
    source.write_text(text, encoding="utf-8", newline="")
    command = [sys.executable, "-m", "charlm", "train", str(source), "-m", str(path), "--minutes", f"{minutes:g}"]
    command += ["--seed", str(seed), *(["--lines"] if lines else []), *flags]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return source, path


def run(text: str, lines: bool, minutes: float, seed: int, flags: list[str]) -> Outcome:
    """Train with the command line on the training text, and score the test text."""
    train_text, test_text = split_test(text, lines, 0.1, seed)
    with TemporaryDirectory() as folder:
        started = time.monotonic()
        _, path = train(train_text, lines, minutes, seed, flags, Path(folder))
        took = (time.monotonic() - started) / 60
        model = charlm.load(path)
        rows = [json.loads(row) for row in path.with_suffix(".log.jsonl").read_text(encoding="utf-8").splitlines()]
    config = model.config
    scale = 1 / (model.training.logit_scale or 1.0)
    members = [with_logit_scale(model.network.parameters(params.flat.copy()), scale) for params in model.members]
    as_trained = LanguageModel(model.network, members, model.vocabulary, model.text, model.training)
    return Outcome(
        test_set_loss(model, test_text, lines),
        test_set_loss(as_trained, test_text, lines),
        None if lines else windowed(model, test_text),
        took,
        rows[-1]["step"],
        f"{len(members)} x {config.cell} {config.hidden}x{config.layers}",
        [(row["seconds"], row["valid_loss"]) for row in rows if row["valid_loss"] is not None],
    )


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document.")
@click.option("--unit", type=click.Choice(UNITS), default="char", show_default=True)
@click.option("--minutes", default="2", show_default=True, help="Time budgets, such as 0.5,2,5.")
@click.option("--seeds", default="1,2,3", show_default=True, help="The recipes were chosen on seed 0.")
@click.option("--flags", default=[""], multiple=True, help="More flags of charlm train; repeatable.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the held-out loss over time to this file.")
def main(
    text: Path, lines: bool, unit: str, minutes: str, seeds: str, flags: tuple[str, ...], plot: Path | None
) -> None:
    """Measure the test loss after each time budget, for each seed."""
    content = text.read_text(encoding="utf-8")
    print(describe_machine())
    print(f"{text.name}{' --lines' if lines else ''}: test loss in nats per {'character' if unit == 'char' else unit}")
    baselines = [
        n_gram(*split_test(content, lines, 0.1, int(seed)), lines, unit)
        for seed in (seeds.split(",") if lines else "0")
    ]
    print(f"Kneser-Ney (best order): {', '.join(f'{loss:.4f} ({order})' for order, loss in baselines)}, "
          f"mean {mean(loss for _, loss in baselines):.4f}\n")  # fmt: skip
    print("| minutes | flags | network | one pass, mean (spread) | each seed | as trained | windows of 256 "
          "| took | steps |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    curves: dict[str, list[tuple[float, float]]] = {}
    for budget in map(float, minutes.split(",")):
        for extra in flags:
            found = [
                run(content, lines, budget, int(seed), ["--unit", unit, *extra.split()]) for seed in seeds.split(",")
            ]
            losses = [outcome.one_pass for outcome in found]
            spread = stdev(losses) if len(losses) > 1 else 0.0
            networks = ", ".join(dict.fromkeys(outcome.network for outcome in found))
            steps = " ".join(f"{outcome.steps:,}" for outcome in found)
            windows = [outcome.windowed for outcome in found if outcome.windowed is not None]
            print(
                f"| {budget:g} | {extra or 'none'} | {networks} | {mean(losses):.4f} ({spread:.4f}) "
                f"| {' '.join(f'{loss:.4f}' for loss in losses)} "
                f"| {mean(outcome.as_trained for outcome in found):.4f} | {f'{mean(windows):.4f}' if windows else '-'} "
                f"| {max(outcome.minutes for outcome in found):.2f} | {steps} |",
                flush=True,
            )
            curves[f"{budget:g} minutes {extra}".strip()] = found[0].curve
    if plot:
        draw(curves, plot)


def draw(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw held-out loss against time, one curve per run (the first seed)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="minutes", ylabel="held-out loss, nats per character", xscale="log")
    for name, curve in curves.items():
        axes.plot([seconds / 60 for seconds, _ in curve], [loss for _, loss in curve], marker=".", label=name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
