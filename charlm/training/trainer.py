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
from charlm.errors import DivergedError
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.optim import find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.optim.optimizer import blocks
from charlm.text.batches import Batches
from charlm.training.evaluation import HeldOut, sharpened
from charlm.training.parallel import Shards
from charlm.training.recovery import Recovery
from charlm.training.report import StepReport
from charlm.training.schedule import learning_rate, used_share

EVALUATIONS = 10
"""How often the held-out loss is measured in a run."""


class Trainer:
    """Trains the parameters it is given, in place; use as a context.

    held_out: ids (N + 1,) to measure the held-out loss on, or None.
    engine: computes; by default NumPy on that many threads.
    started: `time.monotonic()` at which the budget of minutes began.

    best_loss, model_step: the lowest held-out loss so far, and the step of the weights that count as the model.
    sharpness: what their logits are multiplied by.
    notes: takes lines about what went wrong and was mended.
    """

    def __init__(
        self,
        network: Network,
        params: Parameters,
        batches: Batches,
        held_out: Ids | None,
        config: TrainConfig,
        *,
        threads: int,
        engine: Engine | None = None,
        started: float | None = None,
        notes: list[str] | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.config = config
        self.step = 0
        self.best_loss = math.inf
        self.model_step = 0
        self.notes = [] if notes is None else notes
        self.engine = engine or Shards(network, params, batches.steps, batches.streams, threads, config.seed)
        self.params = self.engine.params
        self.optimizer = find_optimizer(config.optimizer, params.flat.size, params.flat.dtype)
        self.average = self.params.flat.copy() if config.average else self.params.flat
        self._held_out = None if held_out is None else HeldOut(held_out, network, self.engine, 16 * threads)
        self._started = monotonic() if started is None else started
        self._evaluation_seconds = 0.0
        self.sharpness = 1.0
        self._stale = 0  # evaluations since the best one
        self.recovery = Recovery(self)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recovery.close()
        self.engine.__exit__(kind, error, trace)

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return monotonic() - self._started

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.batches.windows_per_epoch

    @property
    def share(self) -> float:
        """How much of the budget is used, 1 or more when it is used up; minutes include the last evaluation."""
        seconds = self.seconds + self._evaluation_seconds
        share = used_share(self.config, steps=self.step, epochs=self.epoch, seconds=seconds)
        return self.engine.greatest(share)[0]

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

        Raises DivergedError if training explodes again and again; then the last good state is in place.
        """
        share = self.share
        evaluated = math.floor(share * EVALUATIONS)
        while share < 1 and not self.has_lost_patience:
            begun = monotonic()
            rate = learning_rate(self.config, share) * self.recovery.rate_factor
            valid_loss = None
            try:
                self.recovery.remember()
                loss, norm = self.train_window(rate)
                speed = self.batches.steps * self.batches.streams / (monotonic() - begun)
                share = self.share
                if share >= 1 or math.floor(share * EVALUATIONS) > evaluated:
                    evaluated = math.floor(share * EVALUATIONS)
                    valid_loss = self.evaluate()
            except DivergedError as error:
                self.notes.append(self.recovery.go_back(str(error)))
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
        grads = self.engine.grads[0]
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

        self.engine.each(update, self.engine.parameter_parts())
        return loss, norm

    @property
    def evaluates_nothing(self) -> bool:
        """Whether there is no held-out text to measure on."""
        return self._held_out is None

    def weights(self) -> Parameters:
        """Return the weights as a model has them, in memory of their own: averaged, and the head as sharp as it is."""
        return sharpened(self.network.parameters(self.average.copy()), self.sharpness)

    def evaluate(self) -> float | None:
        """Settle `sharpness`; return the held-out loss of `weights`, in nats per character, None without such a text.

        Raises DivergedError if it or a weight is not finite.
        """
        self.recovery.check_weights()
        if self._held_out is None:
            return None
        begun = monotonic()
        self.engine.release()
        loss, self.sharpness = self._held_out.loss(self.network.parameters(self.average), self.sharpness)
        self._evaluation_seconds = monotonic() - begun
        if not math.isfinite(loss):
            raise DivergedError(f"the held-out loss is {loss}")
        return loss

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return all that a run needs to go on exactly as it would have: arrays, and JSON-able facts."""
        arrays = {"params": self.params.flat}
        if self.average is not self.params.flat:
            arrays["average"] = self.average
        arrays |= {f"moment.{name}": moment for name, moment in self.optimizer.moments.items()}
        for layer, state in enumerate(self.engine.state):
            arrays |= {f"state.{layer}.{k}": array.T.copy() for k, array in enumerate(state)}  # (H, B) in the file
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "stale": self._stale,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "model_step": self.model_step,
            "sharpness": self.sharpness,
            "recovery": self.recovery.to_json(),
            "optimizer_steps": self.optimizer.steps,
            "cursor": self.batches.cursor(),
        }
        return arrays, facts

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        """Go back to where `snapshot` was taken."""
        self.params.flat[...] = arrays["params"]
        if self.average is not self.params.flat:
            self.average[...] = arrays["average"]
        for name, moment in self.optimizer.moments.items():
            moment[...] = arrays[f"moment.{name}"]
        layers, count, _ = self.network.state_shape
        self.engine.state = [
            tuple(arrays[f"state.{layer}.{k}"].T for k in range(count)) for layer in range(layers)
        ]
        self.step = facts["step"]
        self.model_step = facts["model_step"]
        self.sharpness = facts.get("sharpness", 1.0)  # older states have none
        self.recovery.from_json(facts["recovery"])
        self._stale = facts["stale"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        self.optimizer.steps = facts["optimizer_steps"]
        self.batches.seek(facts["cursor"])
        self._started = monotonic() - facts["seconds"]
