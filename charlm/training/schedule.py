"""The budget of a run, and the learning rate as a function of the fraction used."""

from __future__ import annotations

import math

from charlm.config import TrainConfig


def budget_fraction(config: TrainConfig, steps: int, epochs: float, seconds: float) -> float:
    """Return the fraction of the budget that is used: 0 at the start, 1 or more at the end.

    With several budgets, the largest fraction counts.
    """
    budgets = ((steps, config.steps), (epochs, config.epochs), (seconds / 60, config.minutes))
    return max((used / allowed for used, allowed in budgets if allowed is not None), default=0.0)


def learning_rate(config: TrainConfig, fraction: float) -> float:
    """Return the learning rate when a fraction of the budget is used: linear warm-up, then half a cosine.

    References
    ----------
    Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, equation 5, with one cycle.
    """
    peak, low = config.learning_rate, config.final_rate
    if fraction < config.warmup:
        return peak * max(fraction / config.warmup, low, 1e-3)
    decay = min((fraction - config.warmup) / (1 - config.warmup), 1.0)
    return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * decay)))
