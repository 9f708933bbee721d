"""One network in training: window -> loss and gradients -> clip -> optimizer -> average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from charlm.arrays import Array
from charlm.config import TrainConfig
from charlm.engines.engine import Engine, StepValues
from charlm.engines.process_group import ALONE, ProcessGroup
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.text.batches import Batches
from charlm.training.divergence import DivergenceGuard
from charlm.training.evaluation import HeldOut, Sums, with_logit_scale
from charlm.training.report import Event, OnEvent, log_event
from charlm.training.schedule import budget_fraction, learning_rate
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


class StepResult(NamedTuple):
    """What one or more steps of training gave, as means.

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
    """Trains the weights of an engine step by step, and returns to the last good state if training diverges.

    Parameters
    ----------
    engine : Engine
        Holds the weights and takes the steps. Its context is entered already.
    batches : Batches
        Windows of the training text.
    config : TrainConfig
        Learning rate and budget.
    on_event : callable
        Receives an Event for each rollback.
    tuning : TrainingTuning
    group : ProcessGroup
        The processes that train this network together.

    Attributes
    ----------
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
    group: ProcessGroup = ALONE

    def __post_init__(self) -> None:
        self.step = 0
        has_labels = self.batches.has_labels
        self.guard = DivergenceGuard(self.params["head.bias"].size, self.tuning, has_labels=has_labels)
        self._seconds_per_step = 0.0  # of the last steps; 0 before the first

    @property
    def params(self) -> Parameters:
        """The weights; see `Engine.params`."""
        return self.engine.params

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.batches.windows_per_epoch

    @property
    def networks(self) -> int:
        """Number of networks that are trained."""
        return 1

    def advance(self, progress: float, seconds: float, until: float) -> StepResult | None:
        """Take one step, or several on an asynchronous device. Return their means; None if training diverged.

        Parameters
        ----------
        progress : float
            Used fraction of the budget, for the learning rate.
        seconds : float
            Used training time.
        until : float
            Fraction of the budget at which to stop.
        """
        start = monotonic()
        try:
            self.snapshot()
            rates = self._rates(progress, seconds, until)
            for rate in rates:
                self.train_window(rate)
            values = self.read_steps()
        except DivergedError as error:
            self.roll_back(str(error))
            return None
        self._seconds_per_step = (monotonic() - start) / len(rates)
        loss, norm = (sum(column) / len(rates) for column in ([v.loss for v in values], [v.norm for v in values]))
        return StepResult(loss, norm, rates[-1], self.batches.symbols_per_window / self._seconds_per_step)

    def _rates(self, progress: float, seconds: float, until: float) -> list[float]:
        """Return the learning rates of the steps to take before their values are read.

        An asynchronous device takes as many steps as fit into `round_seconds`, up to the next snapshot. All processes
        take the same number.
        """
        fractions, per_step = [progress], self._seconds_per_step
        if self.engine.is_asynchronous:
            seconds, per_step = self.group.all_reduce_max(seconds, per_step)
        steps = int(self.tuning.round_seconds / per_step) if self.engine.is_asynchronous and per_step else 1
        for ahead in range(1, steps):
            step = self.step + ahead
            epoch = step / self.batches.windows_per_epoch
            fraction = budget_fraction(self.config, step, epoch, seconds + ahead * per_step)
            if fraction >= until or self.guard.is_due(step):
                break
            fractions.append(fraction)
        return [learning_rate(self.config, fraction) * self.guard.rate_factor for fraction in fractions]

    def train_window(self, rate: float) -> None:
        """Take one step at a learning rate; `read_steps` returns its loss."""
        batch = self.batches.next()
        self.engine.step(batch.inputs, batch.targets, batch.weights, self.step, rate)
        self.step += 1

    def read_steps(self) -> list[StepValues]:
        """Return the values of the steps since the last call.

        Raises DivergedError at the first step whose norm is not finite, or whose loss is not finite or far above its
        level; `step` is then the number of steps before it.
        """
        values = self.engine.read_steps()
        end = self.step
        for self.step, one in enumerate(values, end - len(values)):
            self.guard.check_loss(one.loss, one.characters, self.step)
            if not math.isfinite(one.norm):
                raise DivergedError("the norm of the gradient is not finite")
        self.step = end
        if self.batches.has_labels:  # a window without labels has no loss of its own
            values = [one if one.characters else one._replace(loss=self.guard.level) for one in values]
        return values

    def measure(self, held_out: HeldOut | None, logit_scale: float) -> Sums:
        """Return the summed held-out loss of the averaged weights and its derivatives; zeros without held-out text.

        Raises DivergedError if a weight is not finite.
        """
        self.check_finite()
        if held_out is None:
            return Sums(0.0, 0.0, 0.0, 0.0)
        self.free_buffers()
        return held_out.sums(self.engine.evaluated, logit_scale)

    def terms(self, held_out: HeldOut, logit_scale: float) -> Array:
        """Return `HeldOut.terms` of the averaged weights. Raises DivergedError if a weight is not finite."""
        self.check_finite()
        self.free_buffers()
        return held_out.terms(self.engine.evaluated, logit_scale)

    def check_finite(self) -> None:
        """Raise DivergedError if a weight is not finite."""
        if not self.engine.has_finite_weights():
            raise DivergedError("the weights are not finite")

    def weights(self, logit_scale: float) -> list[Parameters]:
        """Return a copy of the averaged weights, with the logit scale folded into the output layer."""
        return [with_logit_scale(self.engine.average.copy(), logit_scale)]

    def snapshot(self) -> None:
        """Store the state for `roll_back`, if it is due. Raises DivergedError if a weight is not finite."""
        if self.guard.is_due(self.step):
            self.check_finite()
            self.guard.snapshot(self.step, {**self.engine.snapshot(), **self._own_state()})

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
        return {**self.engine.state_dict(), **self._own_state()}

    def _own_state(self) -> dict[str, Any]:
        """Return the state outside of the engine."""
        return {"step": self.step, "recovery": self.guard.state_dict(), "cursor": self.batches.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.engine.load_state_dict(state)
        self.step = state["step"]
        self.guard.load_state_dict(state["recovery"])
        self.batches.load_state_dict(state["cursor"])

    def free_buffers(self) -> None:
        """Free the buffers of a window; the next one allocates them again."""
        self.engine.free_buffers()
