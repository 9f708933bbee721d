"""Proof-reading: how often a random wrong letter in a line is found and corrected."""

from __future__ import annotations

import string
import time
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import lines_from_end


def with_slip(line: str, rng: np.random.Generator) -> tuple[str, int]:
    """Replace one letter by another of the same case; return the line and the index."""
    index = int(rng.choice([k for k, c in enumerate(line) if c in string.ascii_letters]))
    letters = string.ascii_lowercase if line[index].islower() else string.ascii_uppercase
    other = str(rng.choice([c for c in letters if c != line[index]]))
    return line[:index] + other + line[index + 1 :], index


@click.command()
@click.option("-m", "--model", "path", type=click.Path(path_type=Path), required=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--held-out", default=0.1, show_default=True, help="Fraction at the end of the text to take lines from.")
@click.option("--n", default=500, show_default=True, help="Number of lines.")
def main(path: Path, text: Path, held_out: float, n: int) -> None:
    """Measure how often the wrong letter is the first suspect, and the right one the first proposal."""
    print(describe_machine())
    lines = lines_from_end(text.read_text(encoding="utf-8"), held_out, n, 0)
    rng = np.random.default_rng(2)
    model = charlm.load(path)
    found = right = 0
    started = time.perf_counter()
    for line in lines:
        wrong, index = with_slip(line, rng)
        first = max(model.proof(wrong), key=lambda suspect: suspect.gain, default=None)
        if first is not None and first.index == index:
            found += 1
            right += first.candidates[0][0] == line[index]
    print(f"{len(lines)} lines, one letter wrong in each ({time.perf_counter() - started:.0f} s)")
    print(f"the wrong letter is the first suspect in {found / len(lines):.1%}; the right letter is the first proposal "
          f"in {right / max(found, 1):.1%} of these")  # fmt: skip


if __name__ == "__main__":
    main()
