"""What computes a run: NumPy in shards, or PyTorch, alone or as one of the ranks that torchrun starts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from charlm.config import EngineConfig, TrainConfig
from charlm.engines import find_torch_engine
from charlm.engines.engine import Engine
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.ranks import Ranks
from charlm.engines.shared_memory import micro_batches_of
from charlm.errors import ConfigError
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.text.batches import Batches
from charlm.training.memory import PYTORCH, memory_needed, refuse_what_does_not_fit


def settle_ranks(engine: EngineConfig, paths: Sequence[str | os.PathLike[str]]) -> Ranks:
    """Return the place of this process among those that train together.

    Raises MissingExtraError without PyTorch, if it is asked for; ConfigError for ranks that share a standard input.
    """
    if engine.name == "numpy":
        return Ranks()
    find_torch_engine()
    ranks = Ranks.of_environment()
    if ranks.world_size > 1 and "-" in map(str, paths):
        raise ConfigError("several ranks cannot read one standard input; name a file that all of them can read")
    return ranks


def needed(engine: EngineConfig, network: Network, train: TrainConfig, batches: Batches) -> float:
    """Return how many bytes this process and its workers take, about.

    Raises ResourceError if there are not as many.
    """
    steps, streams = batches.steps, batches.part.stop - batches.part.start
    is_torch = engine.name == "torch"
    shards = 1 if is_torch else min(train.threads, streams)
    turns = 1 if is_torch else micro_batches_of(network, steps, -(-streams // shards))
    memory = memory_needed(network, train, steps=steps, streams=streams, shards=shards, turns=turns)
    memory += PYTORCH if is_torch else 0
    refuse_what_does_not_fit(memory, network.size)
    return memory


def create_engine(
    engine: EngineConfig, ranks: Ranks, network: Network, params: Parameters, train: TrainConfig, batches: Batches
) -> Engine:
    """Return what computes, at `params`.

    Raises ConfigError or ResourceError if it cannot.
    """
    streams, threads, seed = batches.streams, train.threads, train.seed
    if engine.name == "numpy":
        return NumpyEngine(network, params, batches.steps, streams, threads, seed)
    return find_torch_engine()(network, params, streams, engine, ranks=ranks, threads=threads, seed=seed)
