"""Training speed: charlm and PyTorch in turn, in characters per second and as a fraction of the sgemm peak."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from statistics import geometric_mean

import click
import numpy as np

from benchmarks.library.alternation import alternate, describe_machine, race, rate_of, sgemm_peak, timed
from benchmarks.library.peers import Form, Step, TorchModel, forms
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.engines.host_engine import HostEngine
from charlm.engines.numpy_engine import NumpyEngine
from charlm.machine import usable_cores
from charlm.nn.network import Network
from charlm.text.batches import StreamBatches
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.training.learner import Learner

ROWS = ((128, 1, 50, 50), (128, 2, 50, 50), (256, 2, 64, 100), (512, 1, 64, 100), (512, 2, 64, 128))
"""Hidden, layers, batch, BPTT."""


def charlm_rate(corpus: Corpus, cell: str, row: tuple[int, ...], threads: int, seconds: float) -> float:
    """Return characters per second of charlm for full training steps without weight averaging."""
    hidden, layers, batch, bptt = row
    config = TrainConfig(batch=batch, bptt=bptt, average=0.0, learning_rate=1e-3)
    network = Network(NetworkConfig(cell, hidden, layers), len(corpus.vocabulary))
    params = network.initial(np.random.default_rng(0))
    gradients = NumpyEngine(network, params, bptt, batch, threads, config.seed)
    with HostEngine(gradients, config) as engine:
        learner = Learner(engine, StreamBatches(corpus, config), config)

        def step() -> int:
            learner.train_window(1e-3)
            learner.read_steps()
            return batch * bptt

        return rate_of(step, seconds)


def torch_step(corpus: Corpus, cell: str, row: tuple[int, ...], form: Form) -> Step:
    """Return a PyTorch training step on the same text."""
    hidden, layers, batch, bptt = row
    model = TorchModel(cell, len(corpus.vocabulary), hidden, layers, form)
    ids = np.asarray(corpus.train_ids[:1_000_000])
    streams = ids[: len(ids) // batch * batch].reshape(batch, -1).T.copy()
    return model.training_step(streams, bptt)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), default="corpora/lighthouse.txt",
              show_default=True)  # fmt: skip
@click.option("--cells", default="lstm,gru", show_default=True)
@click.option("--rows", default="", help="Shapes such as 256x1,64,50.  [default: five rows]")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=0.7, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=usable_cores(), show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Also try torch.compile, minutes per row.")
def main(text: Path, cells: str, rows: str, rounds: int, seconds: float, threads: int, compiled: bool) -> None:
    """Measure training speed: charlm and the fastest form of PyTorch in turn.

    A short race finds the form: oneDNN on or off, nn.LSTM or LSTMCell, one thread or all, one-hot or embedding.
    """
    corpus = Corpus.read([text], TextConfig(min_count=1), hold_out=HoldOut(0))
    chosen = [tuple(int(n) for n in row.replace("x", ",").split(",")) for row in rows.split()] or ROWS
    print(describe_machine())
    print(
        f"{text}: {corpus.source.n_characters:,} characters, {len(corpus.vocabulary)} in the vocabulary; "
        f"{rounds} rounds\n"
    )
    print("| cell | shape, batch, BPTT | charlm chars/s | PyTorch chars/s | its form | ratio | of sgemm peak |")
    print("|---|---|---|---|---|---|---|")
    for cell in cells.split(","):
        ratios = []
        for row in chosen:
            hidden, layers, batch, bptt = row
            network = Network(NetworkConfig(cell, hidden, layers), len(corpus.vocabulary))
            peers = race(forms(threads, compiled), partial(torch_step, corpus, cell, row))
            candidates: dict[str, Callable[[], float]] = {
                "charlm": partial(charlm_rate, corpus, cell, row, threads, seconds)
            }
            candidates |= {str(form): timed(form, step, seconds) for form, step in peers.items()}
            result = alternate(candidates, rounds)
            fraction = result.ours * flop_per_character(network) / sgemm_peak(threads)
            ratios.append(result.ratio)
            print(
                f"| {cell} | {hidden}x{layers}, {batch}, {bptt} | {result.ours:,.0f} | {result.theirs:,.0f} "
                f"| {result.form} | {result.ratio:.2f} | {fraction:.0%} |",
                flush=True,
            )
        print(f"| {cell} | geometric mean | | | | {geometric_mean(ratios):.2f} | |", flush=True)


def flop_per_character(network: Network) -> float:
    """Return the floating-point operations per training character: 6 for each weight used.

    The one-hot projection is a gather and costs none.
    """
    used = sum(prod(shape) for name, shape in network.layout.items() if "weight" in name and name != FIRST)
    return 6.0 * used


FIRST = "rnn.weight_ih_l0"

if __name__ == "__main__":
    main()
