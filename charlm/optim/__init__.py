"""Optimizers by name. Each is one file and one entry here; the registry imports none of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from charlm.errors import ConfigError

if TYPE_CHECKING:
    from charlm.optim.optimizer import Optimizer

OPTIMIZERS: dict[str, str] = {"adam": "Adam", "rmsprop": "RMSprop", "sgd": "SGD"}
"""Name of an optimizer and of its module -> name of its class."""


def find_optimizer(name: str, size: int, dtype: object) -> Optimizer:
    """Return a new optimizer for a flat vector of `size` parameters.

    Raises
    ------
    ConfigError
        If no optimizer has that name.
    """
    if name not in OPTIMIZERS:
        raise ConfigError(f"`optimizer` is {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    module = import_module(f"charlm.optim.{name}")
    return cast("Optimizer", getattr(module, OPTIMIZERS[name])(size, dtype))
