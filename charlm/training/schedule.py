"""What a run may use, and how the learning rate follows from how much of it is used."""

from __future__ import annotations

import math
from dataclasses import replace

from charlm.config import TrainConfig


def used_share(config: TrainConfig, *, steps: int, epochs: float, seconds: float) -> float:
    """Return how much of the budget is used, 0 at the start, 1 or more at the end.

    With several budgets, the one that is used most counts.
    """
    shares = [
        used / allowed
        for used, allowed in (
            (steps, config.steps),
            (epochs, config.epochs),
            (seconds / 60, config.minutes),
        )
        if allowed is not None
    ]
    return max(shares, default=0.0)


def time_is_short(config: TrainConfig, *, steps: int, epochs: float, seconds: float) -> bool:
    """Return whether minutes are the budget that is used most."""
    if config.minutes is None:
        return False
    others = replace(config, minutes=None)
    return seconds / 60 / config.minutes >= used_share(others, steps=steps, epochs=epochs, seconds=seconds)


def learning_rate(config: TrainConfig, share: float) -> float:
    """Return the learning rate when `share` of the budget is used.

    Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, one cycle).
    """
    peak = config.learning_rate
    if share < config.warmup:
        return peak * max(share / config.warmup, config.final_rate, 1e-3)
    along = min((share - config.warmup) / (1 - config.warmup), 1.0)
    low = config.final_rate
    return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * along)))
