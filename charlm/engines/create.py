"""Create the engine of a run: NumPy in shards, or PyTorch, alone or as one of the ranks that torchrun starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from charlm.config import EngineConfig, TrainConfig
from charlm.engines.engine import Engine
from charlm.engines.numpy_engine import NumpyEngine
from charlm.engines.ranks import Ranks
from charlm.errors import ConfigError, MissingExtraError
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters

if TYPE_CHECKING:
    from charlm.engines.torch import TorchEngine

SHAPES_KEPT = "16"
"""Shapes of products and layers whose code PyTorch's oneDNN keeps: of the many lengths of spans, it would keep all."""


def find_torch_engine() -> type[TorchEngine]:
    """Return the engine that runs on PyTorch.

    Raises MissingExtraError if PyTorch is not installed.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES_KEPT)
    try:
        from charlm.engines.torch import TorchEngine
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise MissingExtraError(
            "--engine torch needs PyTorch, which is not installed: pip install torch, or leave --engine out"
        ) from None
    return TorchEngine


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


def create_engine(
    engine: EngineConfig,
    ranks: Ranks,
    network: BaseNetwork,
    params: Parameters,
    train: TrainConfig,
    steps: int,
    streams: int,
) -> Engine:
    """Return what computes, at `params`.

    Raises ConfigError or ResourceError if it cannot.
    """
    threads, seed = train.threads, train.seed
    if engine.name == "numpy":
        return NumpyEngine(network, params, steps, streams, threads, seed)
    return find_torch_engine()(network, params, streams, engine, ranks=ranks, threads=threads, seed=seed)
