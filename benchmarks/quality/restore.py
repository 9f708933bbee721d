"""Restoring marks, case, spaces and punctuation: how much of a held-out text a model and a dictionary get right."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click

import charlm
from benchmarks.library.alternation import describe_machine
from charlm.tasks.restore_evaluation import Evaluation
from charlm.text.reading import read_text
from charlm.text.stripping import Stripper


def split_lines(text: str, fraction: float) -> tuple[str, str]:
    """Return all lines but the last fraction of them, and the last ones."""
    lines = text.splitlines(keepends=True)
    cut = len(lines) - int(fraction * len(lines))
    return "".join(lines[:cut]), "".join(lines[cut:])


def dictionary_accuracy(stripper: Stripper, learned: str, test: str) -> tuple[float, float]:
    """Return the fraction of right words if nothing is restored, and if each gets its most frequent form.

    Words are those of `Evaluation`: between spaces, with a letter, and with their punctuation.
    """
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word in learned.split():
        forms[stripper.strip(word)][word] += 1
    best = {stripped: found.most_common(1)[0][0] for stripped, found in forms.items()}
    words = [word for word in test.split() if any(map(str.isalpha, word))]
    unchanged = sum(stripper.strip(word) == word for word in words)
    right = sum(best.get(stripper.strip(word), stripper.strip(word)) == word for word in words)
    return unchanged / len(words), right / len(words)


def without_forms(model: charlm.LanguageModel) -> charlm.LanguageModel:
    """Return a model that does not know the counts of the forms of words."""
    training = replace(model.training, forms={})
    return charlm.LanguageModel(model.network, model.members, model.vocabulary, model.text, training, model.labels)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--remove", default="marks", show_default=True, help="Kinds to remove, with commas.")
@click.option("--minutes", default=5.0, show_default=True, help="Training time.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, such as 0,1,2.")
@click.option("--held-out", default=0.1, show_default=True, help="Fraction of the lines, the last ones, to test on.")
def main(text: Path, remove: str, minutes: float, seeds: str, held_out: float) -> None:
    """Train a model that restores, and print how much of the last lines of a text it restores."""
    print(describe_machine())
    learned, test = split_lines(read_text(text), held_out)
    stripper = Stripper.of(remove)
    if "spaces" not in stripper.kinds:
        unchanged, frequent = dictionary_accuracy(stripper, learned, test)
        print(f"\nwords right: nothing restored {unchanged:.2%}, most frequent form of each word {frequent:.2%}")
    kinds = " | ".join(f"F1 of {kind}" for kind in stripper.kinds)
    print(f"\n| seed | words right | network alone | {kinds} | characters/s |\n|{'---|' * (4 + len(stripper.kinds))}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / text.name
        path.write_text(learned, encoding="utf-8")
        for seed in map(int, seeds.split(",")):
            model = charlm.train(
                path, Path(folder) / f"{seed}.safetensors", task="restore", remove=remove, minutes=minutes, seed=seed
            )
            found, started = Evaluation(stripper), time.perf_counter()
            found.add(model.restorer, [test])
            speed = len(test) / (time.perf_counter() - started)
            alone = Evaluation(stripper)
            alone.add(without_forms(model).restorer, [test])
            f1 = " | ".join(f"{found.kinds[kind].f1:.2%}" for kind in stripper.kinds)
            print(
                f"| {seed} | {found.right / found.words:.2%} | {alone.right / alone.words:.2%} | {f1} | {speed:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
