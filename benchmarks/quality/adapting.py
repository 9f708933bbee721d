"""Dynamic evaluation: the gain of `score --adapt` on held-out text."""

from __future__ import annotations

import time
from pathlib import Path

import click

import charlm
from benchmarks.library.texts import held_out_text


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="Its training text.")
@click.option("--rates", default="1e-4 3e-4 1e-3", show_default=True, help="Learning rates to try.")
def main(model: Path, text: Path, rates: str) -> None:
    """Measure bits per character of the held-out text with fixed and with adapted weights."""
    scorer = charlm.load(model)
    held_out = held_out_text(scorer, text)
    print("| weights | bits/char, held out | seconds |\n|---|---|---|")
    started = time.perf_counter()
    print(f"| fixed | {scorer.score(held_out).bits_per_char:.4f} | {time.perf_counter() - started:.0f} |")
    for rate in map(float, rates.split()):
        started = time.perf_counter()
        score = next(iter(scorer.score_adaptively([held_out], learning_rate=rate)))
        print(f"| adapted at {rate:g} | {score.bits_per_char:.4f} | {time.perf_counter() - started:.0f} |", flush=True)


if __name__ == "__main__":
    main()
