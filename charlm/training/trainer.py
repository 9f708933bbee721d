"""The training loop, without output: window -> loss and gradients -> clip -> optimizer -> average -> StepReport."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np

from charlm.config import TrainConfig
from charlm.engines.engine import Engine
from charlm.engines.process_group import ProcessGroup
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.optim import find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import blocks
from charlm.text.batches import Batches
from charlm.training.divergence import DivergenceGuard, check_finite
from charlm.training.evaluation import EvaluationPace, HeldOut, affordable_characters, with_logit_scale
from charlm.training.report import Event, OnEvent, StepReport, log_event
from charlm.training.schedule import budget_fraction, learning_rate
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


@dataclass(eq=False)
class Trainer:
    """Train the parameters of an engine with gradient descent, held-out evaluations and early stopping.

    Parameters
    ----------
    engine : Engine
        Holds the parameters, which are trained in place, and computes their gradients. Its context is entered already.
    group : ProcessGroup
        The processes that train together.
    batches : Batches
        Windows of the training text.
    held_out : HeldOut or None
        Text of the held-out loss.
    config : TrainConfig
        Budget, learning rate, optimizer and so on.
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
    train_loss : float or None
        Mean loss of the last window in nats per character, None before the first.
    best_loss : float
        Lowest held-out loss so far; infinite before the first evaluation.
    model_step : int
        Step at which the best weights so far, those of the model, were found.
    guard : DivergenceGuard
        Detects divergence and holds the last snapshot.
    logit_scale : float
        Scale of the logits, calibrated on the held-out text.
    """

    engine: Engine
    group: ProcessGroup
    batches: Batches
    held_out: HeldOut | None
    config: TrainConfig
    on_event: OnEvent = log_event
    tuning: TrainingTuning = DEFAULT_TUNING

    def __post_init__(self) -> None:
        self.params = self.engine.params
        self.optimizer = find_optimizer(self.config.optimizer, self.params.flat.size, self.params.flat.dtype)
        self.average = self.params.copy() if self.config.average else self.params
        self.step = 0
        self.train_loss: float | None = None
        self.best_loss = math.inf
        self.model_step = 0
        self.logit_scale = 1.0
        self.guard = DivergenceGuard(self.params["head.bias"].size, self.tuning)
        self._seconds_before = 0.0  # training time of earlier processes of this run
        self._started: float | None = None  # when the clock of this process started
        self._pace = EvaluationPace(self.tuning)
        self._stale = 0  # evaluations since the best one

    @property
    def seconds(self) -> float:
        """Training time so far, in seconds, without the set-up and without pauses between processes."""
        return self._seconds_before + (0.0 if self._started is None else monotonic() - self._started)

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.batches.windows_per_epoch

    @property
    def progress(self) -> float:
        """Fraction of the budget that is used, 1 or more at the end. Of minutes, a final evaluation is reserved."""
        seconds = self.seconds + self._pace.seconds
        fraction = budget_fraction(self.config, self.step, self.epoch, seconds)
        return self.group.all_reduce_max(fraction)[0]

    @property
    def must_stop_early(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement (early stopping)."""
        return bool(self.config.patience) and self._stale >= self.config.patience

    def reports(self) -> Iterator[StepReport]:
        """Train until the budget is used up or early stopping, and yield a report for each step.

        The clock starts here. The smallest budget gives one step.

        Raises
        ------
        DivergedError
            If training diverges repeatedly; the last good state is loaded then.
        """
        self._started = monotonic()
        self._pace.start(self.seconds)
        progress = self.progress
        evaluations = int(progress * self.tuning.max_evaluations)  # number of evaluations that were done or skipped
        while (progress < 1 or self.step == 0) and not self.must_stop_early:
            start = monotonic()
            rate = learning_rate(self.config, progress) * self.guard.rate_factor
            valid_loss = None
            try:
                self.guard.snapshot(self.step, self.state_dict)
                loss, norm = self.train_window(rate)
                self.train_loss = loss
                speed = self.batches.steps * self.batches.streams / (monotonic() - start)
                self._pace.estimate(self.held_out.characters if self.held_out else 0, speed)
                progress = self.progress
                due = int(progress * self.tuning.max_evaluations)
                if progress >= 1 or (due > evaluations and self._has_time_to_evaluate()):
                    evaluations = due
                    valid_loss = self.evaluate()
            except DivergedError as error:
                self.roll_back(str(error))
                progress = self.progress
                evaluations = int(progress * self.tuning.max_evaluations)
                continue
            is_best = self._record_loss(valid_loss)
            is_last = progress >= 1 or self.must_stop_early
            yield StepReport(
                self.step, self.epoch, self.seconds, loss, valid_loss, rate, norm, speed, progress, is_best, is_last
            )

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

    def evaluate(self) -> float | None:
        """Calibrate `logit_scale` and return the held-out loss in nats per character; None without held-out text.

        Raises DivergedError if the loss or a weight is not finite.
        """
        check_finite(self.params.flat)
        if self.held_out is None:
            return None
        start = monotonic()
        self._limit_held_out(self.held_out)
        self.engine.free_buffers()
        loss, self.logit_scale = self.held_out.loss(self.average, self.logit_scale)
        self._pace.record(monotonic() - start, self.seconds)
        if not math.isfinite(loss):
            raise DivergedError(f"the held-out loss is {loss}")
        return loss

    def weights(self) -> Parameters:
        """Return a copy of the averaged weights, with the logit scale folded into the output layer."""
        return with_logit_scale(self.average.copy(), self.logit_scale)

    def roll_back(self, reason: str) -> None:
        """Load the last snapshot and halve the learning rate; keep the time and the best loss.

        Raises DivergedError if there is no snapshot, or after repeated rollbacks to it; it is loaded then.
        """
        step = self.step
        kept = {"seconds": self._seconds_before, "best_loss": self._finite_best_loss, "model_step": self.model_step}
        self.load_state_dict(self.guard.roll_back(step, reason) | kept)
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
        """Return all state of the training: arrays, and values that JSON can hold."""
        return {
            "params": self.params.flat,
            **({} if self.average is self.params else {"average": self.average.flat}),
            **self.optimizer.state_dict(),
            **self.engine.state_dict(),
            "seconds": self.seconds,
            "step": self.step,
            "stale": self._stale,
            "best_loss": self._finite_best_loss,
            "model_step": self.model_step,
            "sharpness": self.logit_scale,
            "recovery": self.guard.state_dict(),
            "cursor": self.batches.state_dict(),
            "held_out_size": self.held_out.limit if self.held_out else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned; its seconds are those before this process."""
        self.params.flat[...] = state["params"]
        if self.average is not self.params:
            self.average.flat[...] = state["average"]
        self.optimizer.load_state_dict(state)
        self.engine.load_state_dict(state)
        self._seconds_before = state["seconds"]
        self.step = state["step"]
        self._stale = state["stale"]
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        self.model_step = state["model_step"]
        self.logit_scale = state["sharpness"]
        self.guard.load_state_dict(state["recovery"])
        self.batches.load_state_dict(state["cursor"])
        if self.held_out:
            self.held_out.limit = state["held_out_size"] or self.held_out.limit

    @property
    def _finite_best_loss(self) -> float | None:
        """The best loss, None before the first evaluation."""
        return None if math.isinf(self.best_loss) else self.best_loss

    def _record_loss(self, valid_loss: float | None) -> bool:
        """Record a held-out loss and return whether it is the lowest so far."""
        if valid_loss is None:
            return False
        is_best = valid_loss < self.best_loss
        self._stale = 0 if is_best else self._stale + 1
        if is_best:
            self.best_loss, self.model_step = valid_loss, self.step
        return is_best

    @property
    def _is_limited_by_time(self) -> bool:
        """Whether minutes are the limit that ends the run; with steps or epochs it does not depend on the clock."""
        others = budget_fraction(replace(self.config, minutes=None), self.step, self.epoch, self.seconds)
        return self.config.minutes is not None and self.seconds / 60 / self.config.minutes >= others

    def _has_time_to_evaluate(self) -> bool:
        """Whether an evaluation now leaves enough time for training; all processes agree."""
        missing = self._pace.missing_seconds(self.seconds) if self._is_limited_by_time else 0.0
        return self.group.all_reduce_max(missing)[0] <= 0

    def _limit_held_out(self, held_out: HeldOut) -> None:
        """Decide at the first evaluation how much of the held-out text a short budget evaluates; all processes agree.

        The size never changes afterwards: losses on different texts are not comparable.
        """
        is_first = held_out.limit is None and math.isinf(self.best_loss)
        if is_first and self.config.minutes is not None and self._is_limited_by_time:
            total = held_out.characters
            speed = self.step * self.batches.steps * self.batches.streams / self.seconds
            characters = affordable_characters(self.config.minutes, speed, self.tuning)
            size = -int(self.group.all_reduce_max(-characters)[0])
            if size < total:
                held_out.limit = size
                message = f"the budget has time to evaluate {size:,} of {total:,} held-out tokens"
                self.on_event(Event(message, is_warning=False))
