"""One network in training: window -> loss and gradients -> clip -> optimizer -> average."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from charlm.config import TrainConfig
from charlm.engines.engine import Engine
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.optim import find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import blocks
from charlm.text.batches import Batches
from charlm.training.divergence import DivergenceGuard, check_finite
from charlm.training.evaluation import HeldOut, Sums, with_logit_scale
from charlm.training.report import Event, OnEvent, log_event
from charlm.training.schedule import learning_rate
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


class StepResult(NamedTuple):
    """What steps of training gave.

    loss: mean loss in nats per character.  norm: L2 norm of the gradient before clipping.  rate: learning rate.
    chars_per_second: training speed.  member_losses: the loss of each member of an ensemble, None without steps.
    """

    loss: float
    norm: float
    rate: float
    chars_per_second: float
    member_losses: tuple[float | None, ...] = ()


@dataclass(eq=False)
class Learner:
    """Trains the parameters of an engine step by step, and returns to the last good state if training diverges.

    Parameters
    ----------
    engine : Engine
        Holds the parameters, which are trained in place, and computes their gradients. Its context is entered already.
    batches : Batches
        Windows of the training text.
    config : TrainConfig
        Learning rate, optimizer and so on.
    on_event : callable
        Receives an Event for each rollback.
    tuning : TrainingTuning

    Attributes
    ----------
    params : Parameters
        The trained weights.
    average : Parameters
        Exponential moving average of the weights; the weights themselves if `average` is 0 in the config.
    step : int
        Number of steps so far.
    guard : DivergenceGuard
        Detects divergence and holds the last snapshot.
    """

    engine: Engine
    batches: Batches
    config: TrainConfig
    on_event: OnEvent = log_event
    tuning: TrainingTuning = DEFAULT_TUNING

    def __post_init__(self) -> None:
        self.params = self.engine.params
        self.optimizer = find_optimizer(self.config.optimizer, self.params.flat.size, self.params.flat.dtype)
        self.average = self.params.copy() if self.config.average else self.params
        self.step = 0
        self.guard = DivergenceGuard(self.params["head.bias"].size, self.tuning)

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.batches.windows_per_epoch

    @property
    def networks(self) -> int:
        """Number of networks that are trained."""
        return 1

    def advance(self, progress: float, seconds: float, until: float) -> StepResult | None:
        """Take one step, at the learning rate of a used fraction of the budget; None if it diverged.

        `seconds` and `until` are those of `Members.advance`, and have no effect here.
        """
        start = monotonic()
        rate = learning_rate(self.config, progress) * self.guard.rate_factor
        try:
            self.snapshot()
            loss, norm = self.train_window(rate)
        except DivergedError as error:
            self.roll_back(str(error))
            return None
        return StepResult(loss, norm, rate, self.batches.steps * self.batches.streams / (monotonic() - start))

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def train_window(self, rate: float) -> tuple[float, float]:
        """Take one step at a learning rate.

        Return the mean loss of the window in nats per character, and the L2 norm of its gradient before clipping.
        Raises DivergedError if the norm is not finite, or the loss is not finite or far above its level.
        """
        batch = self.batches.next()
        loss = self.engine.loss_and_grads(batch.inputs, batch.targets, batch.weights, self.step)
        self.guard.check_loss(loss, self.engine.characters, self.step)
        grads = self.engine.grads
        norm = clip_by_global_norm(grads, self.config.clip)
        self.step += 1
        self.optimizer.begin_step()
        # The average is over fewer steps at first, when the weights are far from their final values.
        new_fraction = 1 - min(self.config.average, (1 + self.step) / (10 + self.step))
        self.optimizer.update(self.params.flat, grads, rate)
        if self.average is not self.params:
            for block in blocks(slice(None), self.params.flat.size):
                self.average.flat[block] += new_fraction * (self.params.flat[block] - self.average.flat[block])
        return loss, norm

    def measure(self, held_out: HeldOut | None, logit_scale: float) -> Sums:
        """Return the summed held-out loss of the averaged weights and its derivatives; zeros without held-out text.

        Raises DivergedError if a weight is not finite.
        """
        check_finite(self.params.flat)
        if held_out is None:
            return Sums(0.0, 0.0, 0.0, 0.0)
        self.free_buffers()
        return held_out.sums(self.average, logit_scale)

    def weights(self, logit_scale: float) -> list[Parameters]:
        """Return a copy of the averaged weights, with the logit scale folded into the output layer."""
        return [with_logit_scale(self.average.copy(), logit_scale)]

    def snapshot(self) -> None:
        """Store the state for `roll_back`, if it is due. Raises DivergedError if a weight is not finite."""
        self.guard.snapshot(self.step, self.state_dict)

    def roll_back(self, reason: str) -> None:
        """Load the last snapshot and halve the learning rate.

        Raises DivergedError if there is no snapshot, or after repeated rollbacks to it; it is loaded then.
        """
        step = self.step
        self.load_state_dict(self.guard.roll_back(step, reason))
        rate = self.config.learning_rate * self.guard.rate_factor
        if not self.guard.halve_rate():
            raise DivergedError(
                f"training diverged at step {step:,}: {reason}; {self.guard.rollbacks} returns to step {self.step:,}, "
                "each at half the learning rate, did not help; "
                f"start over with `learning_rate` below {rate:.2g} or `clip=1`"
            )
        message = f"diverged at step {step:,}: {reason}; back to step {self.step:,}"
        self.on_event(Event(f"{message}, the peak learning rate halved to {rate / 2:.4g}"))

    def state_dict(self) -> dict[str, Any]:
        """Return all state of the network's training: arrays, and values that JSON can hold."""
        return {
            "params": self.params.flat,
            **({} if self.average is self.params else {"average": self.average.flat}),
            **self.optimizer.state_dict(),
            **self.engine.state_dict(),
            "step": self.step,
            "recovery": self.guard.state_dict(),
            "cursor": self.batches.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.params.flat[...] = state["params"]
        if self.average is not self.params:
            self.average.flat[...] = state["average"]
        self.optimizer.load_state_dict(state)
        self.engine.load_state_dict(state)
        self.step = state["step"]
        self.guard.load_state_dict(state["recovery"])
        self.batches.load_state_dict(state["cursor"])

    def free_buffers(self) -> None:
        """Free the buffers of a window; the next one allocates them again."""
        self.engine.free_buffers()
