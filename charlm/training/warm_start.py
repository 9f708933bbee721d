"""Fine-tuning: training that starts with the weights of another model, whose tokens keep their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.nn.layout import Parameters

SHAPE = ("cell", "hidden", "layers", "bidirectional", "tied")
"""Settings of the network that a fine-tuned model shares with its parent."""


def inherit_shape(settings: Mapping[str, Any], parent: NetworkConfig) -> dict[str, Any]:
    """Return the settings with the shape of the parent's network.

    Parameters
    ----------
    settings : mapping
        Given settings, name -> value; None for not given.
    parent : NetworkConfig
        Shape of the model to start with.

    Raises
    ------
    ConfigError
        If another shape is given.
    """
    shape = {name: getattr(parent, name) for name in SHAPE}
    for name, value in shape.items():
        if settings.get(name) not in (None, value):
            raise ConfigError(
                f"`{name}` is {settings[name]!r}, but the model to start with has {value!r}; leave `{name}` out"
            )
    if settings.get("size") is not None:
        raise ConfigError("`size` cannot be combined with `init_from`: the network is that of the model")
    return dict(settings) | shape


def extend_parameters(parent: Parameters, fresh: Parameters, line_end: tuple[int, int] | None = None) -> Parameters:
    """Return the parent's weights for a vocabulary that may be larger.

    Parameters
    ----------
    parent : Parameters
        Weights of the model to start with.
    fresh : Parameters
        Any weights of the new network; only their layout is used.
    line_end : (int, int), optional
        Ids of the newline and of EOS, when lines end with EOS now and ended with a newline in the parent's text.
        The two swap their rows in the output layer.

    Notes
    -----
    Old tokens keep their column of the input weights and their row of the output layer. A new token starts as a rare
    one: with the mean of the old columns, the mean of the old rows, and the lowest of the old biases.
    """
    params = fresh.empty_like()
    for name, old in parent.items():
        new = params[name]
        if name.endswith(".weight_ih_l0") and new.shape != old.shape:  # (G*H, V), not tied
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
    return params
