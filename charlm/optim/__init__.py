"""Optimizers, by name; one file and one entry each, named without being imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from charlm.config import check_choice

if TYPE_CHECKING:
    from charlm.optim.optimizer import Optimizer

OPTIMIZERS: dict[str, str] = {"adam": "Adam", "rmsprop": "RMSprop", "sgd": "SGD"}
"""Name on the command line -> class, in the module of the same name."""


def find_optimizer(name: str, size: int, dtype: object) -> Optimizer:
    """Return a new optimizer called `name` for a flat vector of `size` parameters.

    Raises ConfigError if there is none of that name.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    module = import_module(f"charlm.optim.{name}")
    return cast("Optimizer", getattr(module, OPTIMIZERS[name])(size, dtype))
