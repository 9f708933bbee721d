"""Classification of short texts by one model of labels: accuracy on a random held-out part, and speed."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from charlm.config import TextConfig
from charlm.text.rows import read_rows


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help='Lines of "label TAB text".')
@click.option("--minutes", default=2.0, show_default=True, help="Training time.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, such as 0,1,2.")
@click.option(
    "--task",
    type=click.Choice(["classify", "conditional"]),
    default="classify",
    show_default=True,
    help="Predict the label, or compare the probabilities of the text given each label by Bayes' rule.",
)
@click.option("--held-out", default=0.1, show_default=True, help="Random fraction of the rows to test on.")
def main(text: Path, minutes: float, seeds: str, task: str, held_out: float) -> None:
    """Train a model of labels on a part of the rows, and print its accuracy on the others and its speed."""
    print(describe_machine())
    rows = list(read_rows(text, TextConfig()))
    order = np.random.default_rng(0).permutation(len(rows))
    test = [rows[k] for k in order[: int(held_out * len(rows))]]
    print("\n| seed | accuracy | texts/s |\n|---|---|---|")
    with TemporaryDirectory() as folder:
        path = Path(folder) / text.name
        lines = (f"{rows[k].label}\t{rows[k].text}\n" for k in order[len(test) :])
        path.write_text("".join(lines), encoding="utf-8")
        for seed in map(int, seeds.split(",")):
            model = charlm.train(path, Path(folder) / f"{seed}.safetensors", task=task, minutes=minutes, seed=seed)
            found = list(model.classify_each(row.text for row in test))
            right = sum(one.label == row.label for one, row in zip(found, test, strict=True))
            started = time.perf_counter()
            n_texts = sum(1 for _ in model.classify_each(row.text for row in rows))
            speed = n_texts / (time.perf_counter() - started)
            print(f"| {seed} | {right / len(test):.2%} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
