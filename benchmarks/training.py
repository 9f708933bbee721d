"""Training speed: charlm and PyTorch in turn, in characters per second and as a share of the sgemm peak."""

from __future__ import annotations

from math import prod
from pathlib import Path
from statistics import geometric_mean

import click
import numpy as np

from benchmarks.alternation import alternate, describe_machine, rate_of, sgemm_peak
from benchmarks.peers import TorchModel
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.machine import usable_cores
from charlm.nn.network import Network
from charlm.text.batches import StreamBatches
from charlm.text.corpus import Corpus
from charlm.training.trainer import Trainer

ROWS = ((128, 1, 50, 50), (128, 2, 50, 50), (256, 2, 64, 100), (512, 1, 64, 100), (512, 2, 64, 128))
"""Hidden, layers, batch, BPTT."""


def charlm_rate(corpus: Corpus, cell: str, row: tuple[int, ...], threads: int, seconds: float) -> float:
    """Return charlm's characters per second: the whole training step, without the averaging of weights."""
    hidden, layers, batch, bptt = row
    config = TrainConfig(batch=batch, bptt=bptt, average=0.0, learning_rate=1e-3)
    network = Network(NetworkConfig(cell, hidden, layers), len(corpus.vocabulary))
    params = network.initial(np.random.default_rng(0))
    with Trainer(network, params, StreamBatches(corpus, config), None, config, threads=threads) as trainer:

        def step() -> int:
            trainer.train_window(1e-3)
            return batch * bptt

        return rate_of(step, seconds)


def torch_rate(
    corpus: Corpus, cell: str, row: tuple[int, ...], threads: int, seconds: float, embedding: bool
) -> float:
    """Return PyTorch's characters per second."""
    import torch

    torch.set_num_threads(threads)
    hidden, layers, batch, bptt = row
    model = TorchModel(cell, len(corpus.vocabulary), hidden, layers, embedding)
    ids = np.asarray(corpus.train_ids[:1_000_000])
    streams = ids[: len(ids) // batch * batch].reshape(batch, -1).T.copy()
    return rate_of(model.training_step(streams, bptt), seconds)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), default="corpora/lighthouse.txt",
              show_default=True)  # fmt: skip
@click.option("--cells", default="lstm,gru", show_default=True)
@click.option("--rows", default="", help="Such as 256x1,64,50; the five rows of docs/performance.md if not given.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each measurement.")
@click.option("--threads", default=usable_cores(), show_default=True)
def main(text: Path, cells: str, rows: str, rounds: int, seconds: float, threads: int) -> None:
    """Train charlm and PyTorch (1 thread and all; one-hot and embedding) in turn and print the medians."""
    corpus = Corpus.read([text], TextConfig(min_count=1), valid=0)
    chosen = [tuple(int(n) for n in row.replace("x", ",").split(",")) for row in rows.split()] or ROWS
    print(describe_machine())
    print(f"{text}: {corpus.n_characters:,} characters, {len(corpus.vocabulary)} in the vocabulary; {rounds} rounds\n")
    print("| cell | shape, batch, BPTT | charlm chars/s | PyTorch chars/s | its form | ratio | of sgemm peak |")
    print("|---|---|---|---|---|---|---|")
    for cell in cells.split(","):
        ratios = []
        for row in chosen:
            hidden, layers, batch, bptt = row
            network = Network(NetworkConfig(cell, hidden, layers), len(corpus.vocabulary))
            candidates = {"charlm": lambda row=row, cell=cell: charlm_rate(corpus, cell, row, threads, seconds)}
            for count in sorted({1, threads}):
                for embedding in (False, True):
                    form = f"{count} thread{'s' * (count > 1)}, {'embedding' if embedding else 'one-hot'}"
                    candidates[form] = lambda row=row, cell=cell, count=count, embedding=embedding: torch_rate(
                        corpus, cell, row, count, seconds, embedding
                    )
            result = alternate(candidates, rounds)
            speed = result.rates.pop("charlm")
            form = max(result.rates, key=result.rates.__getitem__)
            share = speed * flop_per_character(network) / sgemm_peak(threads)
            ratios.append(result.ratio)
            print(
                f"| {cell} | {hidden}x{layers}, {batch}, {bptt} | {speed:,.0f} | {result.rates[form]:,.0f} | {form} "
                f"| {result.ratio:.2f} | {share:.0%} |",
                flush=True,
            )
        print(f"| {cell} | geometric mean | | | | {geometric_mean(ratios):.2f} | |", flush=True)


def flop_per_character(network: Network) -> float:
    """Return the floating-point operations of training on one character: 6 for each weight it meets.

    The columns of the one-hot projection that a character does not meet cost nothing.
    """
    used = sum(prod(shape) for name, shape in network.layout.items() if "weight" in name and name != FIRST)
    return 6.0 * used


FIRST = "rnn.weight_ih_l0"

if __name__ == "__main__":
    main()
