"""What the trainer says of each step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """One step of training. Losses are in nats per character.

    step: steps so far.  epoch: passes over the training text so far.  seconds: of training so far.
    train_loss: mean of this window.  valid_loss: held-out loss, None where it was not measured.
    learning_rate: of this step.  grad_norm: L2 norm of the gradient before clipping.
    chars_per_second: since the last report but for evaluation.  share: of the budget that is used.
    is_best: whether `valid_loss` is the lowest so far.  is_last: whether training ends here.
    """

    step: int
    epoch: float
    seconds: float
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    grad_norm: float
    chars_per_second: float
    share: float
    is_best: bool
    is_last: bool
