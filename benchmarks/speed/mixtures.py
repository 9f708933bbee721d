"""Speed of mixtures: sampling and scoring with K members, and the ratio to one member, measured in turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median

import click
import numpy as np

from benchmarks.library.alternation import describe_machine, rate_of
from benchmarks.speed.sampling import VOCABULARY, charlm_rate
from charlm.config import NetworkConfig
from charlm.inference.interface import CausalModel
from charlm.inference.prepare import prepare_causal
from charlm.machine import usable_cores
from charlm.nn.network import Network
from charlm.scoring.scorer import score_texts


def untrained(cell: str, hidden: int, layers: int, members: int) -> CausalModel:
    """Return a mixture of untrained networks that rarely draws EOS."""
    network = Network(NetworkConfig(cell, hidden, layers), len(VOCABULARY))
    drawn = [network.initial(np.random.default_rng(seed)) for seed in range(members)]
    for params in drawn:
        params["head.bias"][VOCABULARY.eos] = -20
    return prepare_causal(network, drawn)


def scoring_rate(network: CausalModel, texts: list[str], threads: int, seconds: float) -> float:
    """Return characters per second."""

    def step() -> int:
        return sum(score.characters for score in score_texts(network, VOCABULARY, texts, threads=threads))

    return rate_of(step, seconds, warm_up=1)


@click.command()
@click.option("--cell", default="lstm", show_default=True)
@click.option("--sizes", default="128x1,256x1,384x1,512x1,512x2", show_default=True, help="Hidden x layers.")
@click.option("--members", default="1,2,4,8,16", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=0.3, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=usable_cores(), show_default=True)
def main(cell: str, sizes: str, members: str, rounds: int, seconds: float, threads: int) -> None:
    """Measure the speed of mixtures in characters per second, and relative to one member."""
    print(describe_machine(), "\n")
    print("| hidden x layers | members | one text | 64 texts | scoring 30,000 characters | scoring 5,000 lines |")
    print("|---|---|---|---|---|---|")
    characters = np.random.default_rng(0).choice(list(VOCABULARY.tokens[2:]), 30_000)
    long, lines = ["".join(characters)], ["".join(line) for line in characters.reshape(-1, 6)]
    for size in sizes.split(","):
        hidden, layers = map(int, size.split("x"))
        networks = {count: untrained(cell, hidden, layers, count) for count in map(int, members.split(","))}
        tasks: list[Callable[[CausalModel], float]] = [
            partial(charlm_rate, streams=1, threads=threads, seconds=seconds),
            partial(charlm_rate, streams=64, threads=threads, seconds=seconds),
            partial(scoring_rate, texts=long, threads=threads, seconds=seconds),
            partial(scoring_rate, texts=lines, threads=threads, seconds=seconds),
        ]
        rates = np.array([[[task(one) for one in networks.values()] for task in tasks] for _ in range(rounds)])
        for index, count in enumerate(networks):
            cells = [
                f"{median(rates[:, task, index]):,.0f} ({median(rates[:, task, index] / rates[:, task, 0]):.2f})"
                for task in range(len(tasks))
            ]
            print(f"| {size} | {count} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
