"""The window of text that a training step reads."""

from __future__ import annotations

from typing import NamedTuple

from charlm.arrays import Array, Ids


class Window(NamedTuple):
    """Inputs and targets of one training step.

    Attributes
    ----------
    inputs : ids (T, B)
        Of a network that reads labels, those of `charlm.arrays.join_ids`.
    targets : ids (T, B)
        The character that follows each input.
    weights : array (T, B), default None
        Weight of each target in the loss; None for one each.
    scale : float, default 1.0
        Factor of the gradient, such as 1 / (T B) for that of the mean loss.
    """

    inputs: Ids
    targets: Ids
    weights: Array | None = None
    scale: float = 1.0
