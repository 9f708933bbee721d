"""The running average of the weights."""

from __future__ import annotations


def new_fraction(decay: float, steps: int) -> float:
    """Return the fraction of the new weights in their average after a number of steps, >= 1.

    It is 1 - decay, and more at first: the average is over fewer steps while the weights are far from their final
    values.
    """
    return 1 - min(decay, (1 + steps) / (10 + steps))
