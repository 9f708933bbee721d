"""The speed of this machine: a fraction of a second of training."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from charlm.config import NetworkConfig
from charlm.engines.numpy_engine import NumpyEngine
from charlm.kernels.threads import blas_on_one_thread
from charlm.nn.network import Network
from charlm.training.ensemble_size import Speed

SHAPE, VOCABULARY, BATCH, STEPS = NetworkConfig("lstm", 256, 1), 64, 32, 64
"""The reference network and its windows."""


def measure_speed(cores: int) -> Speed:
    """Measure the speed of this machine with one of its cores and with `cores`."""
    one_core = characters_per_second(1)
    return Speed(one_core, characters_per_second(cores) if cores > 1 else one_core, cores)


def characters_per_second(threads: int, max_seconds: float = 0.3) -> float:
    """Train the reference network on noise, and return the speed of the faster windows in characters per second.

    Parameters
    ----------
    threads : int
        Cores to use.
    max_seconds : float
        Duration of the measurement.
    """
    network = Network(SHAPE, VOCABULARY)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(1, VOCABULARY, (2, STEPS, BATCH))
    times: list[float] = []
    with blas_on_one_thread:
        params = network.initial(rng)
    with NumpyEngine(network, params, STEPS, BATCH, threads) as engine:
        engine.loss_and_grads(inputs, targets, None)  # allocates the buffers
        start = perf_counter()
        while perf_counter() - start < max_seconds:
            window_start = perf_counter()
            engine.loss_and_grads(inputs, targets, None)
            times.append(perf_counter() - window_start)
    return BATCH * STEPS / float(np.quantile(times, 0.25))
