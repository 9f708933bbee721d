"""What the PyTorch engine cannot train."""

from __future__ import annotations

from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.nn.cells import find_cell


def refuse_what_torch_lacks(config: NetworkConfig) -> None:
    """Raise ConfigError for a network that PyTorch has no counterpart of."""
    if find_cell(config.cell).torch_name is None:
        raise ConfigError(f"cell is {config.cell!r}, which PyTorch does not have; leave --engine torch out")
    if config.bidirectional:
        raise ConfigError("--bidirectional networks are trained by NumPy alone; leave --engine torch out")
