"""Sampling speed with a constraint on the text, relative to that without one."""

from __future__ import annotations

from functools import partial
from itertools import product
from statistics import median

import click

from benchmarks.library.alternation import describe_machine
from benchmarks.speed.sampling import charlm_rate, untrained
from charlm.machine import usable_cores

PATTERN = r"(?:[A-Z]+ ?|\W\W?\d*)*"
"""An expression that about half of the characters continue."""


@click.command()
@click.option("--cells", default="lstm,gru", show_default=True)
@click.option("--sizes", default="128x2,512x2", show_default=True, help="Hidden x layers.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=0.5, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=usable_cores(), show_default=True)
def main(cells: str, sizes: str, rounds: int, seconds: float, threads: int) -> None:
    """Measure sampling speed with and without --match in turn; the ratio is the median over the rounds."""
    print(describe_machine(), "\n")
    print("| cell | hidden x layers | texts | free chars/s | --match chars/s | ratio |")
    print("|---|---|---|---|---|---|")
    for cell, size, streams in product(cells.split(","), sizes.split(","), (1, 64)):
        hidden, layers = map(int, size.split("x"))
        measure = partial(charlm_rate, untrained(cell, hidden, layers), streams, threads, seconds)
        pairs = [(measure(None), measure(PATTERN)) for _ in range(rounds)]
        free, masked = (median(column) for column in zip(*pairs, strict=True))
        ratio = median(masked / free for free, masked in pairs)
        print(f"| {cell} | {size} | {streams} | {free:,.0f} | {masked:,.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
