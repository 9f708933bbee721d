"""Sampling speed: one stream, and 64 as one batch; charlm and PyTorch in turn."""

from __future__ import annotations

import click
import numpy as np

from benchmarks.alternation import alternate, describe_machine, rate_of
from benchmarks.peers import TorchModel
from charlm.config import NetworkConfig, SampleConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.machine import usable_cores
from charlm.nn.network import Network
from charlm.sampling.sampler import sample, sample_many
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build({chr(code): 1 for code in range(32, 95)})
"""65 tokens, as of Shakespeare's plays."""


def untrained(cell: str, hidden: int, layers: int) -> PreparedNetwork:
    """Return a network that gives every character about the same probability, and never ends a text."""
    network = Network(NetworkConfig(cell, hidden, layers), len(VOCABULARY))
    params = network.initial(np.random.default_rng(0))
    params["head.bias"][VOCABULARY.eos] = -1e4
    return PreparedNetwork(network, params)


def charlm_rate(runner: PreparedNetwork, streams: int, seconds: float) -> float:
    """Return charlm's characters per second."""
    length = 500

    def step() -> int:
        if streams == 1:
            return sum(1 for _ in sample(runner, VOCABULARY, SampleConfig(length=length), seed=0))
        config, cores = SampleConfig(length=200), usable_cores()
        return sum(len(s.text) for s in sample_many(runner, VOCABULARY, config, n=streams, seed=0, threads=cores))

    return rate_of(step, seconds, warm_up=1)


def torch_rate(
    cell: str, hidden: int, layers: int, streams: int, threads: int, embedding: bool, seconds: float
) -> float:
    """Return PyTorch's characters per second."""
    import torch

    torch.set_num_threads(threads)
    return rate_of(TorchModel(cell, len(VOCABULARY), hidden, layers, embedding).sampling_step(streams), seconds)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=1.0, show_default=True, help="Of each measurement.")
def main(rounds: int, seconds: float) -> None:
    """Draw characters with charlm and PyTorch (1 and 2 threads, one-hot and embedding) in turn."""
    print(describe_machine(), "\n")
    print("| cell | hidden x layers | streams | charlm chars/s | PyTorch chars/s | its form | ratio |")
    print("|---|---|---|---|---|---|---|")
    for cell in ("lstm", "gru"):
        for hidden, layers in ((128, 2), (512, 2)):
            runner = untrained(cell, hidden, layers)
            for streams in (1, 64):
                candidates = {"charlm": lambda r=runner, n=streams: charlm_rate(r, n, seconds)}
                for threads in (1, 2):
                    for embedding in (False, True):
                        form = f"{threads} thread{'s' * (threads > 1)}, {'embedding' if embedding else 'one-hot'}"
                        args = (cell, hidden, layers, streams, threads, embedding, seconds)
                        candidates[form] = lambda args=args: torch_rate(*args)
                result = alternate(candidates, rounds)
                speed = result.rates.pop("charlm")
                form = max(result.rates, key=result.rates.__getitem__)
                print(
                    f"| {cell} | {hidden}x{layers} | {streams} | {speed:,.0f} | {result.rates[form]:,.0f} | {form} "
                    f"| {result.ratio:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
