"""Infilling: the fraction of randomly blanked characters that a model restores.

The lines are from the end of the text, which the models must not have learned.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import lines_from_end
from charlm.model import LanguageModel

BLANK = "\N{BLACK SQUARE}"


def with_blanks(lines: list[str], fraction: float, seed: int) -> list[tuple[str, list[int]]]:
    """Blank a fraction of the characters of each line, at least one; return each line with the indices."""
    rng = np.random.default_rng(seed)
    result = []
    for line in lines:
        indices = sorted(rng.choice(len(line), max(1, round(fraction * len(line))), replace=False).tolist())
        result.append(("".join(BLANK if k in indices else c for k, c in enumerate(line)), indices))
    return result


def restored(model: LanguageModel, lines: list[str], blanked: list[tuple[str, list[int]]], beam: int) -> float:
    """Return the fraction of the blanks that the best result restores."""
    right = total = 0
    for line, (text, indices) in zip(lines, blanked, strict=True):
        best = model.fill(text, blank=BLANK, beam=beam, best=1)[0].text
        right += sum(best[k] == line[k] for k in indices)
        total += len(indices)
    return right / total


@click.command()
@click.option("-m", "--model", "paths", type=click.Path(path_type=Path), multiple=True, required=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--held-out", default=0.1, show_default=True, help="Fraction at the end of the text to take lines from.")
@click.option("--blank", default=0.1, show_default=True, help="Fraction of blanked characters.")
@click.option("--n", default=500, show_default=True, help="Number of lines.")
@click.option("--beam", default="8", show_default=True, help="Beam widths, such as 1,8.")
def main(paths: tuple[Path, ...], text: Path, held_out: float, blank: float, n: int, beam: str) -> None:
    """Measure the fraction of blanked characters that each model restores."""
    print(describe_machine())
    lines = lines_from_end(text.read_text(encoding="utf-8"), held_out, n, 0)
    blanked = with_blanks(lines, blank, 1)
    print(f"{len(lines)} lines, {sum(len(indices) for _, indices in blanked):,} characters blanked\n")
    print("| model | directions | beam | restored | seconds |\n|---|---|---|---|---|")
    for path in paths:
        model = charlm.load(path)
        directions = "both" if model.config.bidirectional else "left to right"
        for width in map(int, beam.split(",")):
            started = time.perf_counter()
            fraction = restored(model, lines, blanked, width)
            took = time.perf_counter() - started
            print(f"| {path.stem} | {directions} | {width} | {fraction:.1%} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
