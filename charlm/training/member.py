"""A member of an ensemble: one network in training in its own process.

The process reads a `Job` from standard input, then requests: the name of a method of `Member` and its arguments. It
answers each with `Answer`, and exits when standard input closes. Both directions are pickles, between processes that
one run has started.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.config import EngineConfig, TrainConfig
from charlm.engines.create import create_engine
from charlm.engines.process_group import ProcessGroup
from charlm.engines.shared_memory import map_shared_block
from charlm.errors import CharlmError
from charlm.nn.base import BaseNetwork
from charlm.text.corpus import Corpus
from charlm.text.windows import batches_over
from charlm.training.evaluation import HeldOut
from charlm.training.learner import Learner, StepResult
from charlm.training.report import Event
from charlm.training.schedule import budget_fraction
from charlm.training.tuning import TrainingTuning


@dataclass(frozen=True)
class Job:
    """What a member trains.

    Attributes
    ----------
    network, params : BaseNetwork, ndarray of shape (P,)
        The network and its initial parameters.
    corpus : Corpus
        The text, without its ids.
    ids_file, ids_size, ids_dtype : int or str, int, str
        The ids of the corpus: the shared memory, the number of ids and their type.
    train : TrainConfig
        Settings of this member: its own seed and threads.
    engine : EngineConfig
        What computes the gradients.
    tuning : TrainingTuning
    """

    network: BaseNetwork
    params: Array
    corpus: Corpus
    ids_file: int | str
    ids_size: int
    ids_dtype: str
    train: TrainConfig
    engine: EngineConfig
    tuning: TrainingTuning


class Answer(NamedTuple):
    """The answer to a request: the events since the last one, and the result, or the error that ended it."""

    events: list[Event]
    result: Any
    error: CharlmError | None = None


class Progress(NamedTuple):
    """Where a member is. result: means over its last steps, None if it took none."""

    step: int
    epoch: float
    result: StepResult | None


class Member:
    """Trains one network. Each public method answers the request of its name.

    Parameters
    ----------
    job : Job
    stack : ExitStack
        Closes the engine.
    """

    def __init__(self, job: Job, stack: ExitStack) -> None:
        dtype = np.dtype(job.ids_dtype)
        ids = np.frombuffer(map_shared_block(job.ids_file, job.ids_size * dtype.itemsize), dtype, job.ids_size)
        corpus = replace(job.corpus, ids=ids)
        group, train, network = ProcessGroup(), job.train, job.network
        batches = batches_over(corpus, train, bidirectional=network.config.bidirectional)
        params = network.parameters(job.params)
        engine = stack.enter_context(
            create_engine(job.engine, group, network, params, train, batches.steps, batches.streams)
        )
        self.events: list[Event] = []
        self._learner = Learner(engine, batches, train, self.events.append, job.tuning)
        stack.callback(self._learner.guard.close)
        self._held_out = HeldOut(
            corpus.valid_ids, network, group, train.threads, job.tuning,
            symbols=corpus.symbols, conditions=corpus.conditions,
        )  # fmt: skip
        self._without_clock = replace(train, minutes=None)

    def advance(self, seconds: float, until: float) -> Progress:
        """Take steps for `round_seconds`, up to a fraction of the budget.

        Parameters
        ----------
        seconds : float
            Training time so far.
        until : float
            Fraction of the budget at which to stop. A budget of steps or epochs ends exactly there. The clock allows
            one step after it.
        """
        learner, start = self._learner, monotonic()
        results: list[StepResult] = []
        while not learner.step or self._fraction(self._without_clock, 0.0) < until:
            elapsed = monotonic() - start
            fraction = self._fraction(learner.config, seconds + elapsed)
            if results and (elapsed >= learner.tuning.round_seconds or fraction >= until):
                break
            result = learner.advance(fraction, seconds + elapsed, until)
            if result is not None:
                results.append(result)
        return Progress(learner.step, learner.epoch, mean_result(results))

    def terms(self, limit: int | None, logit_scale: float) -> Array:
        """Return `HeldOut.terms` of the averaged weights; DivergedError if a weight is not finite."""
        self._held_out.limit = limit
        return self._learner.terms(self._held_out, logit_scale)

    def check(self) -> None:
        """Raise DivergedError if a weight is not finite."""
        self._learner.check_finite()

    def weights(self, logit_scale: float) -> Array:
        """Return the averaged weights with a scale of the logits, (P,)."""
        return self._learner.weights(logit_scale)[0].flat

    def snapshot(self) -> None:
        """Store the state for `roll_back`."""
        self._learner.snapshot()

    def roll_back(self, reason: str) -> Progress:
        """Return to the last snapshot."""
        self._learner.roll_back(reason)
        return Progress(self._learner.step, self._learner.epoch, None)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the learner."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Progress:
        """Continue from a state of the learner."""
        self._learner.load_state_dict(state)
        return Progress(self._learner.step, self._learner.epoch, None)

    def free_buffers(self) -> None:
        """Free the buffers of the engine."""
        self._learner.free_buffers()

    def _fraction(self, config: TrainConfig, seconds: float) -> float:
        return budget_fraction(config, self._learner.step, self._learner.epoch, seconds)


def mean_result(results: Sequence[StepResult]) -> StepResult | None:
    """Return the mean of each value; None without results."""
    return StepResult(*np.mean([result[:4] for result in results], axis=0).tolist()) if results else None


def main() -> None:
    """Answer requests until a pipe closes, as it does if the main process is killed, even within a message."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to all processes of a service; the main process handles them
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with suppress(EOFError, pickle.UnpicklingError, BrokenPipeError):
        answer_requests()


def answer_requests() -> None:
    """Create the member of the first message, and answer the requests that follow. Raises EOFError at the end."""
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers, ExitStack() as stack:  # a broken pipe is closed here
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        job: Job = pickle.load(requests)  # noqa: S301
        events: list[Event] = []
        member: Member | None = None
        while True:
            try:
                if member is None:
                    member, result = Member(job, stack), None
                    events = member.events
                else:
                    name, arguments = pickle.load(requests)  # noqa: S301
                    result = getattr(member, name)(*arguments)
                answer = Answer(events[:], result)
            except CharlmError as error:
                answer = Answer(events[:], None, error)
            events.clear()
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
            if member is None:
                return
