"""Create the process group and the engine of a run, by the name of the engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

from charlm.config import EngineConfig, NetworkConfig, TrainConfig
from charlm.engines.engine import Engine
from charlm.engines.host_engine import HostEngine
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.process_group import ProcessGroup, read_environment
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.errors import ConfigError, MissingExtraError
from charlm.nn.base import BaseNetwork
from charlm.nn.cells import find_cell
from charlm.nn.layout import Parameters


def check_network(engine: EngineConfig, network: NetworkConfig) -> None:
    """Check that an engine can train a network.

    Raises
    ------
    ConfigError
        If PyTorch lacks its cell, or it is of encoder and decoder.
    """
    if engine.name == "numpy":
        return
    if find_cell(network.cell).torch_name is None:
        raise ConfigError(f"`cell` is {network.cell!r}, which PyTorch does not have; leave `engine` out")
    if network.encoder_decoder:
        raise ConfigError("only NumPy trains a network of encoder and decoder; leave `engine` out")


def uses_gpu(engine: EngineConfig, group: ProcessGroup) -> bool:
    """Return whether an engine trains on a GPU. Raises ResourceError if its device does not exist."""
    if engine.name == "numpy":
        return False
    from charlm.engines.torch_engine import find_device

    return bool(find_device(engine.device, group).type != "cpu")


def free_gpu_memory(engine: EngineConfig, group: ProcessGroup) -> float | None:
    """Return the free bytes of the GPU that an engine trains on; None without a GPU, or if it does not report them."""
    if not uses_gpu(engine, group):
        return None
    from charlm.engines.torch_engine import find_device, free_memory

    return free_memory(find_device(engine.device, group))


def create_process_group(
    engine: EngineConfig, paths: Sequence[str | os.PathLike[str]], tuning: EngineTuning = DEFAULT_TUNING
) -> ProcessGroup:
    """Return the group of the processes that train together: one process, or the ranks of torchrun with PyTorch.

    Parameters
    ----------
    paths : sequence of path
        The texts; several ranks cannot read them from standard input.

    Raises
    ------
    MissingExtraError
        If the engine needs PyTorch, which is not installed.
    ConfigError
        If the ranks are not numbered correctly, or would read the same standard input.
    """
    if engine.name == "numpy":
        return ProcessGroup()
    if find_spec("torch") is None:
        raise MissingExtraError(
            "`engine` is 'torch', and PyTorch is not installed: pip install torch, or leave `engine` out"
        )
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(tuning.onednn_primitives))  # before torch is imported
    environment = read_environment()
    if environment["world_size"] == 1:
        return ProcessGroup(**environment)
    if "-" in map(str, paths):
        raise ConfigError("several ranks cannot read one standard input; name a file that all of them can read")
    from charlm.engines.torch_group import TorchProcessGroup

    return TorchProcessGroup(**environment, device=engine.device, tuning=tuning)


def create_engine(
    engine: EngineConfig,
    group: ProcessGroup,
    network: BaseNetwork,
    params: Parameters,
    train: TrainConfig,
    steps: int,
    streams: int,
) -> Engine:
    """Return the engine that trains a network, to be used as a context inside that of `group`.

    Parameters
    ----------
    params : Parameters
        Initial parameters.
    train : TrainConfig
        Optimizer, clipping, averaging, number of threads, and the seed of the dropout masks.
    steps, streams : int
        Shape (T, B) of a window, for all processes of the group together.

    Raises
    ------
    ConfigError
        If there are fewer streams than processes.
    """
    if engine.name == "numpy":
        gradients = NumpyEngine(network, params, steps, streams, train.threads, train.seed)
        return HostEngine(gradients, train)
    from charlm.engines.torch_engine import TorchEngine

    return TorchEngine(network, params, streams, engine, train, group)
