"""The speed of this machine: a fraction of a second of training."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

import numpy as np

from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.engines.create import create_engine, uses_gpu
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.process_group import ALONE, ProcessGroup
from charlm.kernels.threads import blas_on_one_thread
from charlm.nn.network import Network
from charlm.training import gpu_recipes
from charlm.training.cost import relative_cost
from charlm.training.ensemble_size import Speed

SHAPE, VOCABULARY, BATCH, STEPS = NetworkConfig("lstm", 256, 1), 64, 32, 64
"""The reference network and its windows."""
NUMPY = EngineConfig()
STEPS_PER_READ = 4
"""Steps that a device takes between two readings of the clock, which wait for it."""


class Windows(NamedTuple):
    """What is measured: a network, the streams and the steps of its windows."""

    shape: NetworkConfig
    batch: int
    steps: int


ON_CPU = Windows(SHAPE, BATCH, STEPS)
ON_GPU = Windows(gpu_recipes.SHAPE, gpu_recipes.BATCH, gpu_recipes.LONG_WINDOW)
"""Those of the largest recipe for a GPU."""


def measure_speed(
    cores: int,
    engine: EngineConfig = NUMPY,
    group: ProcessGroup = ALONE,
    *,
    is_short: bool = False,
    on_cpu: Windows = ON_CPU,
    on_gpu: Windows = ON_GPU,
) -> Speed:
    """Measure the speed of this machine with one of its cores and with `cores`, or that of the device of PyTorch.

    For a long text a GPU reads a large batch with a larger network; the result is that of the reference network at the
    same number of multiplications. All ranks count as fast as the slowest; every rank must call this together.

    Parameters
    ----------
    cores : int
        Cores to use.
    engine : EngineConfig
        What will train.
    group : ProcessGroup
        The ranks that will train together.
    is_short : bool
        Whether the text is short, so that a GPU will not read it in large batches.
    on_cpu, on_gpu : Windows
        What PyTorch trains in the measurement.
    """
    if engine.name != "numpy":
        is_gpu = uses_gpu(engine, group)
        windows = on_gpu if is_gpu and not is_short else on_cpu
        relative = relative_cost(windows.shape.hidden, windows.shape.layers)
        own = relative * device_speed(engine, cores, windows, ProcessGroup(local_rank=group.local_rank))
        slowest = -group.all_reduce_max(-own)[0]
        return Speed(slowest, group.world_size * slowest, group.world_size, is_gpu)
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


def device_speed(
    engine: EngineConfig, threads: int, windows: Windows, group: ProcessGroup = ALONE, max_seconds: float = 0.5
) -> float:
    """Train a network on noise by PyTorch, and return the speed of the faster rounds in characters per second.

    Parameters
    ----------
    engine : EngineConfig
        Device and precision.
    threads : int
        Cores to use on a CPU.
    windows : Windows
        The network and its windows.
    group : ProcessGroup
        A group of one process.
    max_seconds : float
        Duration of the measurement, from the second round.
    """
    shape, batch, steps = windows
    network, train = Network(shape, VOCABULARY), TrainConfig(batch=batch, bptt=steps, threads=threads)
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(1, VOCABULARY, (2, steps, batch))
    times: list[float] = []
    with create_engine(engine, group, network, network.initial(rng), train, steps, batch) as own:
        start = perf_counter()
        while len(times) < 2 or perf_counter() - start < max_seconds:
            round_start = perf_counter()
            for _ in range(STEPS_PER_READ):
                own.step(inputs, targets, None, 0, 1e-3)
            own.read_steps()
            times.append(perf_counter() - round_start)
            if len(times) == 1:  # it compiles and allocates
                start = perf_counter()
    return STEPS_PER_READ * batch * steps / float(np.quantile(times[1:], 0.25))
