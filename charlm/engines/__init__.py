"""Other engines than NumPy: the same network, computed elsewhere. PyTorch is imported when it is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from charlm.config import NetworkConfig
from charlm.errors import ConfigError, MissingExtraError
from charlm.nn.cells import find_cell

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


def refuse_what_torch_lacks(config: NetworkConfig) -> None:
    """Raise ConfigError for a network that PyTorch has no counterpart of."""
    if find_cell(config.cell).torch_name is None:
        raise ConfigError(f"cell is {config.cell!r}, which PyTorch does not have; leave --engine torch out")
    if config.bidirectional:
        raise ConfigError("--bidirectional networks are trained by NumPy alone; leave --engine torch out")
