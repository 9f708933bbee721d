"""The training loop: a generator of reports. It prints nothing and writes nothing.

    window -> shards: loss and gradients -> mean -> clip -> optimizer -> average -> StepReport
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any

from charlm.arrays import Array, Ids
from charlm.config import TrainConfig
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.runner import Runner
from charlm.optim import find_optimizer
from charlm.optim.clipping import clip_by_global_norm
from charlm.text.batches import Batches
from charlm.training.evaluation import cut_into_streams, held_out_sum
from charlm.training.parallel import Shards
from charlm.training.schedule import learning_rate, used_share

EVALUATIONS = 10
"""How often the held-out loss is measured in a run."""


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


class Trainer:
    """Trains the parameters it is given, in place; use as a context.

    held_out: ids (N + 1,) to measure the held-out loss on, or None.
    started: `time.monotonic()` at which the budget of minutes began.
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
        started: float | None = None,
    ) -> None:
        self.network = network
        self.batches = batches
        self.config = config
        self.step = 0
        self.best_loss = math.inf
        self.shards = Shards(network, params, batches.steps, batches.streams, threads, config.seed)
        self.params = self.shards.params
        self.optimizer = find_optimizer(config.optimizer, params.flat.size, params.flat.dtype)
        self.average = self.params.flat.copy() if config.average else self.params.flat
        self._held_out = None if held_out is None else cut_into_streams(held_out, 16 * threads, network.start)
        self._started = monotonic() if started is None else started
        self._evaluation_seconds = 0.0
        self._stale = 0  # evaluations since the best one

    def __enter__(self) -> Trainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shards.__exit__(kind, error, trace)

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
        return used_share(self.config, steps=self.step, epochs=self.epoch, seconds=seconds)

    @property
    def has_lost_patience(self) -> bool:
        """Whether the held-out loss has not fallen for as many evaluations as are allowed."""
        return bool(self.config.patience) and self._stale >= self.config.patience

    def reports(self) -> Iterator[StepReport]:
        """Train until the budget is used up or patience is lost, a report each step."""
        share = self.share
        evaluated = math.floor(share * EVALUATIONS)
        while share < 1 and not self.has_lost_patience:
            begun = monotonic()
            rate = learning_rate(self.config, share)
            loss, norm = self.train_window(rate)
            speed = self.batches.steps * self.batches.streams / (monotonic() - begun)
            share = self.share
            valid_loss = None
            if share >= 1 or math.floor(share * EVALUATIONS) > evaluated:
                evaluated = math.floor(share * EVALUATIONS)
                valid_loss = self.evaluate()
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
        self.best_loss = min(self.best_loss, valid_loss)
        return is_best

    def train_window(self, rate: float) -> tuple[float, float]:
        """Take one step; returns the window's mean loss in nats, and the norm of the gradient."""
        batch = self.batches.next()
        loss = self.shards.loss_and_grads(batch.inputs, batch.targets, batch.weights, self.step)
        grads = self.shards.grads[0]
        norm = clip_by_global_norm(grads, self.config.clip)
        self.step += 1
        self.optimizer.begin_step()
        # the average follows more quickly at first, when the weights are far from where they end
        share = 1 - min(self.config.average, (1 + self.step) / (10 + self.step))

        def update(part: slice) -> None:
            self.optimizer.update(self.params.flat, grads, rate, part)
            if self.average is not self.params.flat:
                self.average[part] += share * (self.params.flat[part] - self.average[part])

        self.shards.each(update, self.shards.parameter_parts())
        return loss, norm

    @property
    def evaluates_nothing(self) -> bool:
        """Whether there is no held-out text to measure on."""
        return self._held_out is None

    def evaluate(self) -> float | None:
        """Return the held-out loss of the averaged weights, in nats per character; None without held-out text."""
        if self._held_out is None:
            return None
        begun = monotonic()
        inputs, targets, counts = self._held_out
        streams = inputs.shape[1]
        count = min(self.shards.split.shards, streams)
        parts = [slice(streams * k // count, streams * (k + 1) // count) for k in range(count)]
        averaged = self.network.parameters(self.average)

        def measure(part: slice) -> tuple[float, int]:
            runner = Runner(self.network, averaged)
            return held_out_sum(runner, inputs[:, part], targets[:, part], counts[:, part])

        sums = self.shards.each(measure, parts)
        self._evaluation_seconds = monotonic() - begun
        return sum(total for total, _ in sums) / sum(n for _, n in sums)

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return all that a run needs to go on exactly as it would have: arrays, and JSON-able facts."""
        arrays = {"params": self.params.flat, "average": self.average}
        arrays |= {f"moment.{name}": moment for name, moment in self.optimizer.moments.items()}
        for layer, state in enumerate(self.shards.state):
            arrays |= {f"state.{layer}.{k}": array for k, array in enumerate(state)}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "stale": self._stale,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
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
        layers, count = self.network.config.layers, self.network.cell.state_arrays
        self.shards.state = [
            tuple(arrays[f"state.{layer}.{k}"] for k in range(count)) for layer in range(layers)
        ]
        self.step = facts["step"]
        self._stale = facts["stale"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        self.optimizer.steps = facts["optimizer_steps"]
        self.batches.seek(facts["cursor"])
        self._started = monotonic() - facts["seconds"]
