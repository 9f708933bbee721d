"""Sampling speed: one text, and a batch of 64; charlm and PyTorch in turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import click
import numpy as np

from benchmarks.library.alternation import alternate, describe_machine, race, rate_of, timed
from benchmarks.library.peers import Form, Step, TorchModel, forms
from charlm.config import NetworkConfig, SampleConfig
from charlm.inference.interface import CausalModel
from charlm.inference.prepared_network import PreparedNetwork
from charlm.machine import usable_cores
from charlm.nn.network import Network
from charlm.sampling.sampler import Sampler
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build({chr(code): 1 for code in range(32, 95)})
"""65 tokens, as in Shakespeare's plays."""


def untrained(cell: str, hidden: int, layers: int) -> PreparedNetwork:
    """Return an untrained network that never draws EOS."""
    network = Network(NetworkConfig(cell, hidden, layers), len(VOCABULARY))
    params = network.initial(np.random.default_rng(0))
    params["head.bias"][VOCABULARY.eos] = -1e4
    return PreparedNetwork(network, params)


def charlm_rate(network: CausalModel, streams: int, threads: int, seconds: float, match: str | None = None) -> float:
    """Return characters per second of charlm, for texts that match an expression if one is given."""
    config = SampleConfig(1.0, length=500 if streams == 1 else 200, match=match, can_end=match is None)

    def step() -> int:
        sampler = Sampler(network, VOCABULARY, config, threads=threads)
        if streams == 1:
            return sum(1 for _ in sampler.stream(seed=0))
        return sum(len(drawn.text) for drawn in sampler.texts(n=streams, seed=0))

    return rate_of(step, seconds, warm_up=1)


def torch_step(cell: str, hidden: int, layers: int, streams: int, form: Form) -> Step:
    """Return a PyTorch step that draws one character per stream."""
    return TorchModel(cell, len(VOCABULARY), hidden, layers, form).sampling_step(streams)


@click.command()
@click.option("--cells", default="lstm,gru", show_default=True)
@click.option("--sizes", default="128x2,512x2", show_default=True, help="Hidden x layers.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=0.5, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=usable_cores(), show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Also try torch.compile, a minute per row.")
def main(cells: str, sizes: str, rounds: int, seconds: float, threads: int, compiled: bool) -> None:
    """Measure sampling speed: charlm and the fastest form of PyTorch in turn.

    A short race finds the form: oneDNN on or off, nn.LSTM or LSTMCell, one thread or all, one-hot or embedding.
    """
    print(describe_machine(), "\n")
    print("| cell | hidden x layers | texts | charlm chars/s | PyTorch chars/s | its form | ratio |")
    print("|---|---|---|---|---|---|---|")
    for cell, size, streams in product(cells.split(","), sizes.split(","), (1, 64)):
        hidden, layers = map(int, size.split("x"))
        peers = race(forms(threads, compiled), partial(torch_step, cell, hidden, layers, streams))
        candidates: dict[str, Callable[[], float]] = {
            "charlm": partial(charlm_rate, untrained(cell, hidden, layers), streams, threads, seconds)
        }
        candidates |= {str(form): timed(form, step, seconds) for form, step in peers.items()}
        result = alternate(candidates, rounds)
        print(
            f"| {cell} | {size} | {streams} | {result.ours:,.0f} | {result.theirs:,.0f} | {result.form} "
            f"| {result.ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
