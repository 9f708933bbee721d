"""Mixtures of two models of different texts: test loss by their weights, and the cost in speed.

A model is trained on nine tenths of each text. Losses are of the last tenth of each text and of a text between them, by
default the lines of both tests in turn. All models are distributions over the union of both vocabularies.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine, rate_of
from benchmarks.library.texts import split_test
from benchmarks.quality.quality import train
from charlm.scoring.mixing import fit_weights
from charlm.text_model import TextModel

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of the second model."""


def alternated(first: str, second: str) -> str:
    """Return the lines of two texts in turn, up to the end of the shorter one."""
    pairs = zip(first.splitlines(), second.splitlines(), strict=False)
    return "\n".join(chain.from_iterable(pairs))


def sampling_rate(model: TextModel, texts: int, seconds: float) -> float:
    """Return characters per second."""

    def step() -> int:
        return sum(len(sample.text) + 1 for sample in model.sample(n=texts, seed=0, length=200))

    return rate_of(step, seconds, warm_up=1)


def scoring_rate(model: TextModel, text: str, seconds: float) -> float:
    """Return characters per second."""
    return rate_of(lambda: model.score(text).characters, seconds, warm_up=1)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--other", type=click.Path(exists=True, path_type=Path), required=True, help="Another text.")
@click.option("--between", type=click.Path(exists=True, path_type=Path), help="A text between the two.")
@click.option("--lines", is_flag=True, help="Each line is a document.")
@click.option("--minutes", default=0.5, show_default=True, help="Minutes of each training.")
@click.option("--seed", default=1, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=0.5, show_default=True, help="Length of a measurement of speed.")
def main(
    text: Path, other: Path, between: Path | None, lines: bool, minutes: float, seed: int, rounds: int, seconds: float
) -> None:
    """Measure the test loss of mixtures of two models at several weights, and their speed."""
    print(describe_machine(), "\n")
    models, tests, texts = [], {}, (text, other)
    for path in texts:
        train_text, tests[path.name] = split_test(path.read_text(encoding="utf-8"), lines, 0.1, seed)
        with TemporaryDirectory() as folder:
            models.append(charlm.load(train(train_text, lines, minutes, seed, ["--ensemble", "1"], Path(folder))[1]))
    name = between.name if between else "both in turn"
    tests[name] = between.read_text(encoding="utf-8") if between else alternated(*tests.values())
    mixture = charlm.Mixture(models)
    log_probs = [mixture.log_probs_by_model(text) for text in tests.values()]
    print(f"| weight of {texts[1].name} | {' | '.join(tests)} |\n|---|{'---|' * len(tests)}")
    for weight in WEIGHTS:
        losses = (-np.log(np.array([1 - weight, weight]) @ np.exp(each)).mean() for each in log_probs)
        print(f"| {weight:g} | {' | '.join(f'{loss:.4f}' for loss in losses)} |")
    fitted = [fit_weights(each) for each in log_probs]
    losses = (-np.log(weights @ np.exp(each)).mean() for weights, each in zip(fitted, log_probs, strict=True))
    cells = (f"{loss:.4f} ({weights[1]:.2f})" for loss, weights in zip(losses, fitted, strict=True))
    print(f"| fitted to the test text | {' | '.join(cells)} |\n")
    tasks = {
        "one text": partial(sampling_rate, texts=1, seconds=seconds),
        "64 texts": partial(sampling_rate, texts=64, seconds=seconds),
        "scoring": partial(scoring_rate, text=tests[name][:30_000], seconds=seconds),
    }
    print("| characters per second | " + " | ".join(tasks) + " |\n|---|---|---|---|")
    candidates = {path.name: model for path, model in zip(texts, models, strict=True)} | {"mixture": mixture}
    rates = {(one, task): [] for one in candidates for task in tasks}  # type: dict[tuple[str, str], list[float]]
    for _ in range(rounds):
        for one, task in rates:
            rates[one, task].append(tasks[task](candidates[one]))
    for one in candidates:
        print(f"| {one} | " + " | ".join(f"{median(rates[one, task]):,.0f}" for task in tasks) + " |")


if __name__ == "__main__":
    main()
