"""How fast this machine trains: a fraction of a second of real training."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from charlm.config import NetworkConfig
from charlm.engines.numpy_engine import NumpyEngine
from charlm.nn.network import Network

SHAPE = NetworkConfig("lstm", 256, 1)
VOCABULARY, BATCH, STEPS = 64, 32, 64
SECONDS = 0.4


def characters_per_second(threads: int) -> float:
    """Train an LSTM 256x1 on noise for a moment; return the characters per second, of the faster windows."""
    network = Network(SHAPE, VOCABULARY)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(1, VOCABULARY, (2, STEPS, BATCH))
    times: list[float] = []
    with NumpyEngine(network, network.initial(rng), STEPS, BATCH, threads) as engine:
        engine.loss_and_grads(inputs, targets, None)  # makes the buffers
        begun = perf_counter()
        while perf_counter() - begun < SECONDS:
            window = perf_counter()
            engine.loss_and_grads(inputs, targets, None)
            times.append(perf_counter() - window)
    return BATCH * STEPS / float(np.quantile(times, 0.25))
