"""Fine-tuning: beginning with the weights of a model, whose characters keep their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.nn.layout import Parameters

SHAPE = ("cell", "hidden", "layers")
"""What a network must share with the one it begins with."""


def inherited(settings: Mapping[str, Any], parent: NetworkConfig) -> dict[str, Any]:
    """Return the settings with the shape of the parent's network.

    Raises ConfigError if another shape is given.
    """
    taken = {name: getattr(parent, name) for name in SHAPE}
    for name, value in taken.items():
        if settings.get(name) not in (None, value):
            raise ConfigError(f"{name} is {settings[name]!r}, but the model to begin with has {value!r}; leave it out")
    if settings.get("size") is not None:
        raise ConfigError("size cannot be set together with init-from: the network is that of the model")
    return dict(settings) | taken


def grow_into(params: Parameters, parent: Parameters, line_end: tuple[int, int] | None = None) -> None:
    """Copy the parent's weights into `params`, in place.

    Ids that the parent has keep their column in W_ih and their row in the head; new ids get the means of the old
    columns, rows and biases, so that they begin as a character nobody knows anything about.
    line_end: ids of the newline and of EOS, where lines ended with the one and now end with the other: EOS becomes as
    probable as the newline was, which takes its place.
    """
    for name, old in parent.items():
        new = params[name]
        if name == "rnn.weight_ih_l0":  # (G*H, V)
            new[...] = old.mean(axis=1, keepdims=True)
            new[:, : old.shape[1]] = old
        elif name.startswith("head."):  # (V, H) and (V,)
            new[...] = old.mean(axis=0) if old.ndim > 1 else old.min()
            new[: len(old)] = old
            if line_end:
                newline, eos = line_end
                new[[eos, newline]] = old[[newline, eos]]
        else:
            new[...] = old
