"""Proof-reading: one random letter of each held-out line replaced by another, and whether it is found and put right."""

from __future__ import annotations

import string
import time
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.alternation import describe_machine
from benchmarks.fill import held_out_lines


def with_slip(line: str, rng: np.random.Generator) -> tuple[str, int]:
    """Replace one letter by another letter of its case; return the line and the place."""
    place = int(rng.choice([k for k, c in enumerate(line) if c in string.ascii_letters]))
    letters = string.ascii_lowercase if line[place].islower() else string.ascii_uppercase
    other = str(rng.choice([c for c in letters if c != line[place]]))
    return line[:place] + other + line[place + 1 :], place


@click.command()
@click.option("-m", "--model", "path", type=click.Path(path_type=Path), required=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--held-out", default=0.1, show_default=True, help="Share of the text, from its end, to take lines from.")
@click.option("--n", default=500, show_default=True, help="Lines.")
def main(path: Path, text: Path, held_out: float, n: int) -> None:
    """Print how often the place is the first suspect, and the right letter the first proposal there."""
    print(describe_machine())
    lines = held_out_lines(text.read_text(encoding="utf-8"), held_out, n, 0)
    rng = np.random.default_rng(2)
    model = charlm.load(path)
    found = right = 0
    begun = time.perf_counter()
    for line in lines:
        wrong, place = with_slip(line, rng)
        first = max(model.proof(wrong), key=lambda suspect: suspect.gain, default=None)
        if first is not None and first.place == place:
            found += 1
            right += first.proposals[0][0] == line[place]
    print(f"{len(lines)} lines, one letter wrong in each ({time.perf_counter() - begun:.0f} s)")
    print(f"the place is the first suspect in {found / len(lines):.1%}; the right letter is the first proposal in "
          f"{right / max(found, 1):.1%} of these")  # fmt: skip


if __name__ == "__main__":
    main()
