"""The training loop: a generator of reports. It prints nothing and writes nothing.

    window -> shards: loss and gradients -> mean -> clip -> optimizer -> average -> StepReport
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import TrainConfig
from charlm.engines.engine import Engine
from charlm.engines.process_group import ProcessGroup
from charlm.errors import DivergedError
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters
from charlm.optim import find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import blocks
from charlm.text.batches import Batches
from charlm.training.clock import EVALUATIONS, Clock, EvaluationPace, affordable
from charlm.training.divergence import DivergenceGuard
from charlm.training.evaluation import HeldOut, with_logit_scale
from charlm.training.report import StepReport
from charlm.training.schedule import learning_rate, time_is_short, used_share


class Trainer:
    """Trains the parameters it is given, in place; use as a context.

    held_out: ids (N + 1,) to measure the held-out loss on, or None.
    engine: computes losses and gradients, entered already.  group: the processes that train together.

    best_loss, model_step: the lowest held-out loss so far, and the step of the weights that count as the model.
    logit_scale: what their logits are multiplied by.
    notes: takes lines about what went wrong and was mended.
    """

    def __init__(
        self,
        network: BaseNetwork,
        batches: Batches,
        held_out: Ids | None,
        config: TrainConfig,
        *,
        threads: int,
        engine: Engine,
        group: ProcessGroup,
        notes: list[str] | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.config = config
        self.step = 0
        self.best_loss = math.inf
        self.model_step = 0
        self.notes = [] if notes is None else notes
        self.engine, self.group = engine, group
        self.params = engine.params
        self.optimizer = find_optimizer(config.optimizer, self.params.flat.size, self.params.flat.dtype)
        self.average = self.params.flat.copy() if config.average else self.params.flat
        self._held_out_ids = held_out
        self._held_out_size: int | None = None  # of those, how many are measured; None for all, or not known yet
        self._held_out: HeldOut | None = None  # made for the first evaluation
        self._threads = threads
        self._clock = Clock()
        self._pace = EvaluationPace()
        self.logit_scale = 1.0
        self._stale = 0  # evaluations since the best one
        self.recovery = DivergenceGuard(self)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recovery.close()

    @property
    def seconds(self) -> float:
        """Seconds of training so far: neither the set-up nor a stop counts."""
        return self._clock.seconds

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.batches.windows_per_epoch

    @property
    def share(self) -> float:
        """How much of the budget is used, 1 or more when it is used up; minutes include the last evaluation."""
        seconds = self.seconds + self._pace.seconds
        share = used_share(self.config, steps=self.step, epochs=self.epoch, seconds=seconds)
        return self.group.all_reduce_max(share)[0]

    @property
    def has_lost_patience(self) -> bool:
        """Whether the held-out loss has not fallen for as many evaluations as are allowed."""
        return bool(self.config.patience) and self._stale >= self.config.patience

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.share >= 1 or self.has_lost_patience

    def reports(self) -> Iterator[StepReport]:
        """Train until the budget is used up or patience is lost, a report each step.

        The clock starts here, and however short the budget is, a run makes a step.
        Raises DivergedError if training explodes again and again; then the last good state is in place.
        """
        self._clock.start()
        self._pace.begin(self.seconds)
        share = self.share
        evaluated = math.floor(share * EVALUATIONS)
        while (share < 1 or self.step == 0) and not self.has_lost_patience:
            begun = monotonic()
            rate = learning_rate(self.config, share) * self.recovery.rate_factor
            valid_loss = None
            try:
                self.recovery.remember()
                loss, norm = self.train_window(rate)
                speed = self.batches.steps * self.batches.streams / (monotonic() - begun)
                self._pace.estimate(self._held_out_characters, speed)
                share = self.share
                if share >= 1 or (math.floor(share * EVALUATIONS) > evaluated and self._has_time_to_evaluate()):
                    evaluated = math.floor(share * EVALUATIONS)
                    valid_loss = self.evaluate()
            except DivergedError as error:
                self.notes.append(self.recovery.roll_back(str(error)))
                share = self.share
                evaluated = math.floor(share * EVALUATIONS)
                continue
            is_best = self.note(valid_loss)
            is_last = share >= 1 or self.has_lost_patience
            yield StepReport(
                self.step, self.epoch, self.seconds, loss, valid_loss, rate, norm, speed, share, is_best, is_last
            )

    def note(self, valid_loss: float | None) -> bool:
        """Remember a held-out loss; returns whether it is the lowest so far."""
        if valid_loss is None:
            return False
        is_best = valid_loss < self.best_loss
        self._stale = 0 if is_best else self._stale + 1
        if is_best:
            self.best_loss, self.model_step = valid_loss, self.step
        return is_best

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def train_window(self, rate: float) -> tuple[float, float]:
        """Take one step; returns the window's mean loss in nats, and the norm of the gradient.

        Raises DivergedError if one of them is not finite, or the loss is far above its level.
        """
        batch = self.batches.next()
        loss = self.engine.loss_and_grads(batch.inputs, batch.targets, batch.weights, self.step)
        self.recovery.check_loss(loss, self.engine.characters)
        grads = self.engine.grads
        norm = clip_by_global_norm(grads, self.config.clip)
        self.step += 1
        self.optimizer.begin_step()
        # the average follows more quickly at first, when the weights are far from where they end
        share = 1 - min(self.config.average, (1 + self.step) / (10 + self.step))

        @np.errstate(over="ignore", invalid="ignore", divide="ignore")  # threads have error states of their own
        def update(part: slice) -> None:
            self.optimizer.update(self.params.flat, grads, rate, part)
            if self.average is not self.params.flat:
                for block in blocks(part, self.params.flat.size):
                    self.average[block] += share * (self.params.flat[block] - self.average[block])

        self.engine.parallel_map(update, self.engine.parameter_parts())
        return loss, norm

    @property
    def _held_out_characters(self) -> int:
        """How many characters an evaluation reads."""
        whole = 0 if self._held_out_ids is None else len(self._held_out_ids) - 1
        return whole if self._held_out_size is None else min(self._held_out_size, whole)

    @property
    def _time_is_short(self) -> bool:
        """Whether minutes are the budget that is used most: then evaluations are spaced by their cost.

        A run that steps or epochs end does not depend on the clock.
        """
        return time_is_short(self.config, steps=self.step, epochs=self.epoch, seconds=self.seconds)

    def _has_time_to_evaluate(self) -> bool:
        """Whether an evaluation now would leave enough time for training; all ranks decide alike."""
        missing = self._pace.missing(self.seconds) if self._time_is_short else 0.0
        return self.group.all_reduce_max(missing)[0] <= 0

    def _open_held_out(self, ids: Ids) -> HeldOut:
        """Return the held-out text: all of it, or as much as a short budget has time for; all ranks decide alike.

        Once a loss was measured, the size stays: losses of different texts cannot be compared.
        """
        is_first = self._held_out_size is None and math.isinf(self.best_loss)
        if is_first and self.config.minutes is not None and self._time_is_short:
            speed = self.step * self.batches.steps * self.batches.streams / self.seconds
            size = -int(self.group.all_reduce_max(-affordable(self.config.minutes, speed))[0])
            if size < len(ids) - 1:
                self._held_out_size = size
                self.notes.append(f"the budget has time to evaluate {size:,} of {len(ids) - 1:,} held-out tokens")
        return HeldOut(ids[: self._held_out_characters + 1], self.network, self.engine, self.group, 16 * self._threads)

    def weights(self) -> Parameters:
        """Return the weights as a model has them, in memory of their own: averaged, and the head as sharp as it is."""
        return with_logit_scale(self.network.parameters(self.average.copy()), self.logit_scale)

    def evaluate(self) -> float | None:
        """Settle `logit_scale`; return the held-out loss of `weights`, in nats per character, None without such a text.

        Raises DivergedError if it or a weight is not finite.
        """
        self.recovery.check_weights()
        if self._held_out_ids is None:
            return None
        begun = monotonic()
        self._held_out = self._held_out or self._open_held_out(self._held_out_ids)
        self.engine.free_buffers()
        loss, self.logit_scale = self._held_out.loss(self.network.parameters(self.average), self.logit_scale)
        self._pace.record(monotonic() - begun, self.seconds)
        if not math.isfinite(loss):
            raise DivergedError(f"the held-out loss is {loss}")
        return loss

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return all that a run needs to go on exactly as it would have: arrays, and JSON-able facts."""
        arrays = {"params": self.params.flat}
        if self.average is not self.params.flat:
            arrays["average"] = self.average
        arrays |= {f"moment.{name}": moment for name, moment in self.optimizer.moments.items()}
        arrays |= self.engine.state_dict()
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "stale": self._stale,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "model_step": self.model_step,
            "sharpness": self.logit_scale,
            "recovery": self.recovery.to_json(),
            "optimizer_steps": self.optimizer.steps,
            "cursor": self.batches.state_dict(),
            "held_out_size": self._held_out_size,
        }
        return arrays, facts

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        """Go back to where `snapshot` was taken."""
        self.params.flat[...] = arrays["params"]
        if self.average is not self.params.flat:
            self.average[...] = arrays["average"]
        for name, moment in self.optimizer.moments.items():
            moment[...] = arrays[f"moment.{name}"]
        self.engine.load_state_dict(arrays)
        self.step = facts["step"]
        self.model_step = facts["model_step"]
        self.logit_scale = facts.get("sharpness", 1.0)  # older states have none
        self.recovery.from_json(facts["recovery"])
        self._stale = facts["stale"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        self.optimizer.steps = facts["optimizer_steps"]
        self.batches.load_state_dict(facts["cursor"])
        self._held_out_size = facts.get("held_out_size") or self._held_out_size
        self._clock.set(facts["seconds"])
