"""The training loop, without output: step -> held-out loss now and then -> StepReport, until the budget is used up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Protocol

from charlm.config import TrainConfig
from charlm.engines.process_group import ProcessGroup
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.text.batches import Batches
from charlm.training.evaluation import HeldOut, Sums, calibrate
from charlm.training.learner import StepResult
from charlm.training.pace import EvaluationPace, affordable_characters, evaluation_seconds
from charlm.training.report import Event, OnEvent, StepReport, log_event
from charlm.training.schedule import budget_fraction
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


class Trainable(Protocol):
    """What a trainer trains: one network (`Learner`) or several (`Members`). See `Learner` for the methods."""

    @property
    def batches(self) -> Batches: ...
    @property
    def networks(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def epoch(self) -> float: ...
    def advance(self, progress: float, seconds: float, until: float) -> StepResult | None: ...
    def measure(self, held_out: HeldOut | None, logit_scale: float) -> Sums: ...
    def weights(self, logit_scale: float) -> list[Parameters]: ...
    def roll_back(self, reason: str) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
    def free_buffers(self) -> None: ...
    def snapshot(self) -> None: ...


@dataclass(eq=False)
class Trainer:
    """Train a network or several with held-out evaluations and early stopping, until the budget is used up.

    Parameters
    ----------
    learner : Trainable
        Takes the steps.
    group : ProcessGroup
        The processes that train together.
    held_out : HeldOut or None
        Text of the held-out loss.
    config : TrainConfig
        Budget and patience.
    on_event : callable
        Receives an Event for each decision.
    tuning : TrainingTuning

    Attributes
    ----------
    train_loss : float or None
        Mean loss of the last window in nats per character, None before the first.
    best_loss : float
        Lowest held-out loss so far; infinite before the first evaluation.
    model_step : int
        Step at which the best weights so far, those of the model, were found.
    logit_scale : float
        Scale of the logits, calibrated on the held-out text.
    """

    learner: Trainable
    group: ProcessGroup
    held_out: HeldOut | None
    config: TrainConfig
    on_event: OnEvent = log_event
    tuning: TrainingTuning = DEFAULT_TUNING

    def __post_init__(self) -> None:
        self.train_loss: float | None = None
        self.best_loss = math.inf
        self.model_step = 0
        self.logit_scale = 1.0
        self._seconds_before = 0.0  # training time of earlier processes of this run
        self._started: float | None = None  # when the clock of this process started
        self._pace = EvaluationPace(self.tuning)
        self._stale = 0  # evaluations since the best one

    @property
    def step(self) -> int:
        """Number of steps so far."""
        return self.learner.step

    @property
    def seconds(self) -> float:
        """Training time so far, in seconds, without the set-up and without pauses between processes."""
        return self._seconds_before + (0.0 if self._started is None else monotonic() - self._started)

    @property
    def progress(self) -> float:
        """Fraction of the budget that is used, 1 or more at the end. Of minutes, a final evaluation is reserved."""
        seconds = self.seconds + self._pace.seconds
        fraction = budget_fraction(self.config, self.step, self.learner.epoch, seconds)
        return self.group.all_reduce_max(fraction)[0]

    @property
    def must_stop_early(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement (early stopping)."""
        return bool(self.config.patience) and self._stale >= self.config.patience

    def reports(self) -> Iterator[StepReport]:
        """Train until the budget is used up or early stopping, and yield a report for each step.

        A GPU and an ensemble report several steps at once. The clock starts after the first snapshot. The smallest
        budget gives one step.

        Raises
        ------
        DivergedError
            If training diverges repeatedly; the last good state is loaded then.
        """
        self.learner.snapshot()
        self._started = monotonic()
        self._pace.start(self.seconds)
        progress = self.progress
        tenths = self.tuning.max_evaluations
        evaluations = int(progress * tenths)  # number of evaluations that were done or skipped
        while (progress < 1 or self.step == 0) and not self.must_stop_early:
            until = (int(progress * tenths) + 1) / tenths
            result = self.learner.advance(progress, self.seconds + self._pace.seconds, until)
            valid_loss = None
            try:
                if result:
                    self.train_loss = result.loss
                    characters = self.held_out.characters if self.held_out else 0
                    speed = result.chars_per_second / self.learner.networks
                    self._pace.estimate(characters, speed, self.config.minutes)
                progress = self.progress
                due = int(progress * tenths)
                if result and (progress >= 1 or (due > evaluations and self._has_time_to_evaluate())):
                    evaluations = due
                    valid_loss = self.evaluate()
            except DivergedError as error:
                self.learner.roll_back(str(error))
                result, progress = None, self.progress
            if result is None:
                evaluations = min(evaluations, int(progress * tenths))
                continue
            is_best = self._record_loss(valid_loss)
            is_last = progress >= 1 or self.must_stop_early
            yield StepReport(
                self.step, self.learner.epoch, self.seconds, result.loss, valid_loss, result.rate, result.norm,
                result.chars_per_second, progress, is_best, is_last, result.member_losses,
            )  # fmt: skip

    def evaluate(self) -> float | None:
        """Calibrate `logit_scale` and return the held-out loss in nats per character; None without held-out text.

        Raises DivergedError if the loss or a weight is not finite.
        """
        if self.held_out is None:
            self.learner.measure(None, self.logit_scale)
            return None
        self._limit_held_out(self.held_out)
        start = monotonic()
        loss, self.logit_scale = calibrate(self.learner.measure, self.held_out, self.logit_scale)
        self._pace.record(monotonic() - start, self.seconds)
        if not math.isfinite(loss):
            raise DivergedError(f"the held-out loss is {loss}")
        return loss

    def weights(self) -> list[Parameters]:
        """Return copies of the averaged weights of each network, with the logit scale folded into the output layer."""
        return self.learner.weights(self.logit_scale)

    def state_dict(self) -> dict[str, Any]:
        """Return all state of the training: arrays, and values that JSON can hold."""
        return {
            **self.learner.state_dict(),
            "seconds": self.seconds,
            "stale": self._stale,
            "best_loss": self._finite_best_loss,
            "model_step": self.model_step,
            "sharpness": self.logit_scale,
            "held_out_size": self.held_out.limit if self.held_out else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned; its seconds are those before this process."""
        self.learner.load_state_dict(state)
        self._seconds_before = state["seconds"]
        self._stale = state["stale"]
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        self.model_step = state["model_step"]
        self.logit_scale = state["sharpness"]
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
        others = budget_fraction(replace(self.config, minutes=None), self.step, self.learner.epoch, self.seconds)
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
            total, batches = held_out.characters, self.learner.batches
            speed = self.step * batches.symbols_per_window / self.seconds
            size = self._affordable_size(replace(held_out), speed, self.config.minutes)
            if size < total:
                held_out.limit = size
                message = f"to save time, evaluations read {size:,} of the {total:,} held-out tokens"
                self.on_event(Event(message, is_warning=False))

    def _affordable_size(self, held_out: HeldOut, speed: float, minutes: float) -> int:
        """Return how many held-out characters an evaluation may read: estimated, and measured if that may matter.

        speed: characters per second of training.  minutes: the budget.
        """
        estimate = affordable_characters(minutes, speed, self.tuning)
        size = -int(self.group.all_reduce_max(-estimate)[0])
        if size < self.tuning.certain_factor * len(held_out.ids):
            size = min(size, held_out.characters)
            held_out.limit = -(-size // 2)
            start = monotonic()
            self.learner.measure(held_out, self.logit_scale)
            seconds = 2 * self.tuning.evaluation_passes * (monotonic() - start)
            slowdown = self.group.all_reduce_max(seconds / evaluation_seconds(minutes, self.tuning))[0]
            size = max(self.tuning.min_held_out_characters, int(size / max(slowdown, 1.0)))
        return size
