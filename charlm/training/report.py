"""What training reports: steps and events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """One step of training, or several of a GPU or an ensemble.

    Attributes
    ----------
    step : int
        Steps so far.
    epoch : float
        Passes over the training text so far.
    seconds : float
        Training time so far.
    train_loss : float
        Mean loss of the windows of these steps in nats per character.
    valid_loss : float or None
        Held-out loss in nats per character; None if it was not measured.
    learning_rate : float
        Learning rate of the last step.
    grad_norm : float
        L2 norm of the gradient before clipping, the mean of these steps.
    chars_per_second : float
        Training speed of these steps, without evaluation.
    progress : float
        Fraction of the budget that is used, 1 or more at the end.
    is_best : bool
        Whether `valid_loss` is the lowest so far.
    is_last : bool
        Whether training ends with this step.
    member_losses : tuple of float or None
        Training loss of each member of an ensemble, None for one that took no step; empty for one network.
    """

    step: int
    epoch: float
    seconds: float
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    grad_norm: float
    chars_per_second: float
    progress: float
    is_best: bool
    is_last: bool
    member_losses: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something other than a step that a user wants to know.

    Attributes
    ----------
    message : str
        One line without a full stop.
    is_warning : bool
        Whether something went wrong; otherwise the event explains a decision.
    """

    message: str
    is_warning: bool = True


OnEvent = Callable[[Event], None]


def log_event(event: Event) -> None:
    """Pass an event to the logger "charlm"."""
    logging.getLogger("charlm").log(logging.WARNING if event.is_warning else logging.INFO, "%s", event.message)
