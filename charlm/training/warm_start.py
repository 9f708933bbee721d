"""Fine-tuning: beginning with the weights of a model, whose characters keep their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.arrays import Ids
from charlm.config import NetworkConfig
from charlm.errors import ConfigError
from charlm.inference.prepare import prepare_network
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters
from charlm.training.evaluation import lay_out

KEPT = (1.0, 0.5)
"""Shares of the parent's weights that are tried."""
TRIED_ON, STREAMS = 20_000, 16
"""Characters of the new text that they are tried on, and streams that these are read in."""
SHAPE = ("cell", "hidden", "layers", "bidirectional")
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


def inherit(
    network: BaseNetwork, fresh: Parameters, parent: Parameters, ids: Ids, line_end: tuple[int, int] | None
) -> tuple[Parameters, float]:
    """Return the weights to begin with, and the share of the parent's that is in them.

    network, fresh: what is trained, and weights to train it from scratch from.
    ids: the text it is trained on (N + 1,); of the shares that are tried, the one is kept that predicts it best.
    line_end: as for `grow`.
    A network that begins with weights trained to their end learns another kind of text less well than one that has
    half forgotten them: Ash & Adams 2020, arXiv:1910.08475 (shrink and perturb).
    """
    tried = [(grow(fresh, parent, kept, line_end), kept) for kept in KEPT]
    sample = lay_out(ids[: TRIED_ON + 1], network, STREAMS)
    losses = [prepare_network(network, params).measure(*sample)[0] for params, _ in tried]
    return tried[losses.index(min(losses))]


def grow(
    fresh: Parameters, parent: Parameters, kept: float = 1.0, line_end: tuple[int, int] | None = None
) -> Parameters:
    """Return the parent's weights in the layout of `fresh`, which may have more ids.

    Ids that the parent has keep their column in W_ih and their row in the head. New ids get the mean of the old
    columns, the mean of the old rows, and the lowest of the old biases: they begin as a rare character.
    kept: share of the parent's in all weights but W_ih; the rest is that of `fresh`.
    line_end: ids of the newline and of EOS, where lines ended with the one and now end with the other: EOS becomes as
    probable as the newline was, which takes its place.
    """
    params = fresh.empty_like()
    for name, old in parent.items():
        new = params[name]
        if name.endswith(".weight_ih_l0"):  # (G*H, V)
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
        if not name.endswith(".weight_ih_l0"):
            new += (1 - kept) * (fresh[name] - new)
    return params
