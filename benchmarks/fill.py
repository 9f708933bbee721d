"""Filling in: characters blanked at random in held-out lines, and how many are restored exactly.

The lines are taken from the end of the text, each as a text of its own; the models must not have learned that part.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.alternation import describe_machine
from charlm.model import LanguageModel

BLANK = "\N{BLACK SQUARE}"


def held_out_lines(text: str, share: float, n: int, seed: int) -> list[str]:
    """Return n lines of at least 20 characters from the end of a text."""
    lines = [line for line in text[int((1 - share) * len(text)) :].split("\n")[1:] if len(line) >= 20]
    rng = np.random.default_rng(seed)
    return [lines[k] for k in sorted(rng.choice(len(lines), min(n, len(lines)), replace=False).tolist())]


def with_blanks(lines: list[str], share: float, seed: int) -> list[tuple[str, list[int]]]:
    """Blank a share of each line's characters, at least one."""
    rng = np.random.default_rng(seed)
    result = []
    for line in lines:
        places = sorted(rng.choice(len(line), max(1, round(share * len(line))), replace=False).tolist())
        result.append(("".join(BLANK if k in places else c for k, c in enumerate(line)), places))
    return result


def restored(model: LanguageModel, lines: list[str], blanked: list[tuple[str, list[int]]], beam: int) -> float:
    """Return the share of the blanks whose character the best reading restores."""
    right = total = 0
    for line, (text, places) in zip(lines, blanked, strict=True):
        best = model.fill(text, blank=BLANK, beam=beam, best=1)[0].text
        right += sum(best[place] == line[place] for place in places)
        total += len(places)
    return right / total


@click.command()
@click.option("-m", "--model", "paths", type=click.Path(path_type=Path), multiple=True, required=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--held-out", default=0.1, show_default=True, help="Share of the text, from its end, to take lines from.")
@click.option("--blank", default=0.1, show_default=True, help="Share of the characters that are blanked.")
@click.option("--n", default=500, show_default=True, help="Lines.")
@click.option("--beam", default="8", show_default=True, help="Such as 1,8.")
def main(paths: tuple[Path, ...], text: Path, held_out: float, blank: float, n: int, beam: str) -> None:
    """Print the share of blanked characters that each model restores."""
    print(describe_machine())
    lines = held_out_lines(text.read_text(encoding="utf-8"), held_out, n, 0)
    blanked = with_blanks(lines, blank, 1)
    print(f"{len(lines)} lines, {sum(len(places) for _, places in blanked):,} characters missing\n")
    print("| model | directions | beam | restored | seconds |\n|---|---|---|---|---|")
    for path in paths:
        model = charlm.load(path)
        directions = "both" if model.config.bidirectional else "left to right"
        for width in map(int, beam.split(",")):
            begun = time.perf_counter()
            share = restored(model, lines, blanked, width)
            took = time.perf_counter() - begun
            print(f"| {path.stem} | {directions} | {width} | {share:.1%} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
