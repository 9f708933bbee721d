"""Classification of lines by source: one model per text, Bayes' rule over models."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import charlm
from charlm.config import TextConfig
from charlm.text.reading import read_text

HELD_OUT = 0.1


@click.command()
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=0.5, show_default=True, help="Training time of each model.")
@click.option("--n", default=500, show_default=True, help="Maximum number of test lines of each text.")
@click.option("--seed", default=0, show_default=True)
def main(texts: tuple[Path, ...], minutes: float, n: int, seed: int) -> None:
    """Train a model on nine tenths of the lines of each text, classify the rest, and print the confusion matrix."""
    rng = np.random.default_rng(seed)
    models, held_out = [], []
    with TemporaryDirectory() as folder:
        for path in texts:
            lines = list(dict.fromkeys(line for line in read_text(path).split("\n") if line.strip()))
            rng.shuffle(lines)
            cut = max(1, int(HELD_OUT * len(lines)))
            held_out.append(lines[:cut][:n])
            (train := Path(folder) / path.name).write_text("\n".join(lines[cut:]), encoding="utf-8")
            model = Path(folder) / f"{path.stem}.safetensors"
            models.append(charlm.train(train, model, minutes=minutes, seed=seed, text=TextConfig(lines=True)))
    print("| lines of | " + " | ".join(path.stem for path in texts) + " | right |")
    print("|" + "---|" * (len(texts) + 2))
    right = total = 0
    for k, (path, lines) in enumerate(zip(texts, held_out, strict=True)):
        predicted = [result.best for result in charlm.classify(models, lines)]
        row = [predicted.count(j) for j in range(len(texts))]
        right, total = right + row[k], total + len(lines)
        print(f"| {path.stem} | " + " | ".join(map(str, row)) + f" | {row[k] / len(lines):.1%} |")
    print(f"\n{right} of {total} test lines are right: {right / total:.2%}")


if __name__ == "__main__":
    main()
