"""Quality: what `charlm train --minutes M` reaches on text that it never sees, over several seeds.

The text is cut in two: the last tenth, or with --lines a random tenth of the different lines, is put aside, and
charlm is run on a file with the rest, as a user would run it. (It holds out a part of that file to choose the best
weights by.) Then the text put aside is scored in two ways:

- one pass: running text read once from its start with the state carried on; lines one by one, their ends counted;
- windows: running text in windows of 256 characters, each from a fresh state, as nanoGPT reports it.
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
from benchmarks.alternation import describe_machine
from benchmarks.ngram import best_order
from charlm.config import TextConfig
from charlm.model import LanguageModel
from charlm.text.corpus import Corpus
from charlm.training.evaluation import with_logit_scale

WINDOW = 256


def n_gram(learned: str, kept: str, lines: bool) -> tuple[int, float]:
    """Return the best order of Kneser-Ney, and what it reaches on the text put aside, in nats per character."""
    with TemporaryDirectory() as folder:
        paths = Path(folder) / "learned.txt", Path(folder) / "kept.txt"
        for path, text in zip(paths, (learned, kept), strict=True):
            path.write_text(text, encoding="utf-8", newline="")
        settings = TextConfig(lines=lines)
        with Corpus.read([paths[0]], settings, valid=0) as train:
            vocabulary = train.vocabulary
            with Corpus.read([paths[1]], settings, valid=0, vocabulary=vocabulary) as aside:
                ids = aside.train_ids if lines else aside.train_ids[:-1]  # the end of running text does not count
                return best_order(train.train_ids, ids, len(vocabulary))


class Outcome(NamedTuple):
    """What one run reached: nats per character put aside, in one pass and in windows, and what it took.

    as_trained: one pass of the weights as trained, before the head was made as sharp as held-out text wants it.
    """

    one_pass: float
    as_trained: float
    windowed: float | None
    minutes: float
    steps: int
    network: str
    curve: list[tuple[float, float]]


def put_aside(text: str, lines: bool, share: float, seed: int) -> tuple[str, str]:
    """Return the text to learn from and the text put aside: the end of it, or random lines with all their copies."""
    if not lines:
        cut = int((1 - share) * len(text))
        return text[:cut], text[cut:]
    every = [line for line in text.split("\n") if line]
    distinct = list(dict.fromkeys(every))
    order = np.random.default_rng(seed).permutation(len(distinct))
    aside = {distinct[k] for k in order[: int(share * len(distinct))]}
    parts = ([line for line in every if (line in aside) == chosen] for chosen in (False, True))
    learned, kept = ("\n".join(part) + "\n" for part in parts)
    return learned, kept


def one_pass(model: LanguageModel, text: str, lines: bool) -> float:
    """Return nats per character of the text put aside."""
    scores = model.score_many([x for x in text.split("\n") if x], end=True) if lines else [model.score(text, end=False)]
    every = list(scores)
    return -sum(score.log_prob for score in every) / sum(score.characters for score in every)


def windowed(model: LanguageModel, text: str) -> float:
    """Return nats per character in windows from a fresh state; the first character of a window is only read."""
    ids = model.vocabulary.encode(text).astype(np.intp)
    count = (len(ids) - 1) // WINDOW
    inputs, targets = (ids[k : k + count * WINDOW].reshape(count, WINDOW).T for k in (0, 1))
    total = 0.0
    for start in range(0, count, 64):
        part = slice(start, start + 64)
        streams = inputs[:, part].shape[1]
        total += float(model.runner.score(inputs[:, part], targets[:, part], model.runner.zero_state(streams))[0].sum())
    return -total / (count * WINDOW)


def run(text: str, lines: bool, minutes: float, seed: int, flags: list[str]) -> Outcome:
    """Train on all but the text put aside, by the command line, and score that."""
    learned, kept = put_aside(text, lines, 0.1, seed)
    with TemporaryDirectory() as folder:
        source, path = Path(folder) / "text.txt", Path(folder) / "model.safetensors"
        source.write_text(learned, encoding="utf-8", newline="")
        command = [sys.executable, "-m", "charlm", "train", str(source), "-m", str(path), "--minutes", str(minutes)]
        command += ["--seed", str(seed), *(["--lines"] if lines else []), *flags]
        begun = time.monotonic()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        took = (time.monotonic() - begun) / 60
        model = charlm.load(path)
        rows = [json.loads(row) for row in path.with_suffix(".log.jsonl").read_text(encoding="utf-8").splitlines()]
    config = model.config
    params = with_logit_scale(model.network.parameters(model.params.flat.copy()), 1 / model.training["sharpness"])
    as_trained = LanguageModel(model.network, params, model.vocabulary, model.text, model.training)
    return Outcome(
        one_pass(model, kept, lines),
        one_pass(as_trained, kept, lines),
        None if lines else windowed(model, kept),
        took,
        rows[-1]["step"],
        f"{config.cell} {config.hidden}x{config.layers}",
        [(row["seconds"], row["valid_loss"]) for row in rows if row["valid_loss"] is not None],
    )


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document of its own.")
@click.option("--minutes", default="2", show_default=True, help="Budgets, such as 0.5,2,5.")
@click.option("--seeds", default="1,2,3", show_default=True, help="The recipes were chosen on seed 0.")
@click.option("--flags", default=[""], multiple=True, help="More flags of charlm train; give it again to compare.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the held-out loss over time into this file.")
def main(text: Path, lines: bool, minutes: str, seeds: str, flags: tuple[str, ...], plot: Path | None) -> None:
    """Train for so many minutes with each seed, and print what is reached on the text put aside."""
    whole = text.read_text(encoding="utf-8")
    print(describe_machine())
    print(f"{text.name}{' --lines' if lines else ''}: nats per character of the tenth put aside")
    bars = [n_gram(*put_aside(whole, lines, 0.1, int(seed)), lines) for seed in (seeds.split(",") if lines else "0")]
    print(f"Kneser-Ney (best order): {', '.join(f'{loss:.4f} ({order})' for order, loss in bars)}, "
          f"mean {mean(loss for _, loss in bars):.4f}\n")  # fmt: skip
    print("| minutes | flags | network | one pass, mean (spread) | each seed | as trained | windows of 256 "
          "| took | steps |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    curves: dict[str, list[tuple[float, float]]] = {}
    for budget in map(float, minutes.split(",")):
        for extra in flags:
            found = [run(whole, lines, budget, int(seed), extra.split()) for seed in seeds.split(",")]
            losses = [outcome.one_pass for outcome in found]
            spread = stdev(losses) if len(losses) > 1 else 0.0
            windows = [outcome.windowed for outcome in found if outcome.windowed is not None]
            print(
                f"| {budget:g} | {extra or 'none'} | {found[0].network} | {mean(losses):.4f} ({spread:.4f}) "
                f"| {' '.join(f'{loss:.4f}' for loss in losses)} "
                f"| {mean(outcome.as_trained for outcome in found):.4f} | {f'{mean(windows):.4f}' if windows else '-'} "
                f"| {max(outcome.minutes for outcome in found):.2f} | {found[0].steps:,} |",
                flush=True,
            )
            curves[f"{budget:g} minutes {extra}".strip()] = found[0].curve
    if plot:
        draw(curves, plot)


def draw(curves: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw held-out loss against time, one line a run (the first seed)."""
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
