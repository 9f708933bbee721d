"""Word order: a held-out line against the same line with its words shuffled."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.texts import held_out_lines

PAIRS = 100


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="Its training text.")
@click.option("--seed", default=0, show_default=True)
def main(model: Path, text: Path, seed: int) -> None:
    """Measure how often a line is more probable than with its words shuffled."""
    rng = np.random.default_rng(seed)
    scorer = charlm.load(model)
    lines = [line for line in held_out_lines(scorer, text) if len(line.split()) >= 5]
    chosen = [lines[k] for k in rng.choice(len(lines), min(PAIRS, len(lines)), replace=False)]
    shuffled = [shuffle(line, rng) for line in chosen]
    real, other = ([s.log_prob for s in scorer.score_many(texts)] for texts in (chosen, shuffled))
    wins = sum(a > b for a, b in zip(real, other, strict=True))
    print(f"{wins} of {len(chosen)} held-out lines are more probable than with their words shuffled (seed {seed})")


def shuffle(line: str, rng: np.random.Generator) -> str:
    """Return the words of a line in another order."""
    words = line.split()
    while True:
        other = " ".join(rng.permutation(words))
        if other != " ".join(words):
            return other


if __name__ == "__main__":
    main()
