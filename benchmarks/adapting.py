"""Dynamic evaluation: what `score --adapt` gains on held-out text."""

from __future__ import annotations

import time
from pathlib import Path

import click

import charlm
from benchmarks.held_out import held_out_text


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="The text it was trained on.")
@click.option("--rates", default="1e-4 3e-4 1e-3", show_default=True, help="Learning rates to try.")
def main(model: Path, text: Path, rates: str) -> None:
    """Print bits per character of the held-out text, with weights that stay and weights that follow."""
    scorer = charlm.load(model)
    held_out = held_out_text(scorer, text)
    print("| weights | bits/char, held out | seconds |\n|---|---|---|")
    begun = time.perf_counter()
    print(f"| stay | {scorer.score(held_out).bits_per_char:.4f} | {time.perf_counter() - begun:.0f} |")
    for rate in map(float, rates.split()):
        begun = time.perf_counter()
        score = next(iter(scorer.score_adaptively([held_out], learning_rate=rate)))
        print(f"| follow at {rate:g} | {score.bits_per_char:.4f} | {time.perf_counter() - begun:.0f} |", flush=True)


if __name__ == "__main__":
    main()
