"""Ranking: held-out lines against copies of themselves with two adjacent letters swapped."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.texts import held_out_lines


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="Its training text.")
@click.option("--lines", "count", default=100, show_default=True)
@click.option("--copies", default=9, show_default=True, help="Corrupted copies of each line.")
@click.option("--seed", default=0, show_default=True)
def main(model: Path, text: Path, count: int, copies: int, seed: int) -> None:
    """Measure how often a line is ranked before copies of itself with two letters swapped."""
    rng = np.random.default_rng(seed)
    scorer = charlm.load(model)
    lines = [line for line in held_out_lines(scorer, text) if len(line) >= 20]
    chosen = [lines[k] for k in rng.choice(len(lines), min(count, len(lines)), replace=False)]
    wins = 0
    for line in chosen:
        candidates = {line: None} | dict.fromkeys(corrupt(line, rng) for _ in range(copies))
        best = charlm.rank(scorer.score_many(candidates))[0][1]
        wins += best.text == line
    print(f"{wins} of {len(chosen)} held-out lines rank above all {copies} copies with two adjacent letters swapped")


def corrupt(line: str, rng: np.random.Generator) -> str:
    """Swap two adjacent letters that differ."""
    pairs = [k for k in range(len(line) - 1) if line[k : k + 2].isalpha() and line[k] != line[k + 1]]
    k = int(rng.choice(pairs))
    return line[:k] + line[k + 1] + line[k] + line[k + 2 :]


if __name__ == "__main__":
    main()
