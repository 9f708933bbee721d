"""The members of an ensemble: networks that differ by their seed, each trained in its own process.

They do not exchange anything. The main process asks all of them to train for a fraction of a second, to evaluate, or
for their state, and waits for all answers.
"""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from charlm.arrays import split_evenly
from charlm.config import EngineConfig, TrainConfig
from charlm.engines.create import uses_gpu
from charlm.engines.process_group import ALONE
from charlm.engines.shared_memory import allocate_shared_block
from charlm.engines.worker_process import start_worker
from charlm.errors import CharlmError, ResourceError
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters
from charlm.text.batches import Batches
from charlm.training.evaluation import HeldOut, Sums, mix_terms
from charlm.training.learner import StepResult
from charlm.training.member import Answer, Job, Progress, mean_result
from charlm.training.report import OnEvent, log_event
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning

SEED_STRIDE = 1 << 32
"""Distance of the seeds of two members, so that ensembles of different seeds share no member."""

ADVICE = "a smaller `ensemble` needs less"
"""What a user can do about the process of a member that cannot start or has exited."""


def member_configs(train: TrainConfig) -> list[TrainConfig]:
    """Return the settings of each member: its own seed, and its fraction of the cores, at least one."""
    cores = split_evenly(0, max(train.threads, train.ensemble), train.ensemble)
    return [
        replace(train, seed=train.seed + SEED_STRIDE * k, threads=own.stop - own.start) for k, own in enumerate(cores)
    ]


class Members:
    """Several networks in training; use as a context. The interface is that of `Learner`.

    Parameters
    ----------
    network : BaseNetwork
        The network of each member.
    params : sequence of Parameters
        Initial parameters of each member.
    batches : Batches
        Windows of a member, for their shape and the text.
    train : TrainConfig
        Settings of the ensemble.
    engine : EngineConfig
        What computes the gradients.
    on_event : callable
        Receives the events of all members.
    tuning : TrainingTuning

    Attributes
    ----------
    step, epoch : int, float
        Steps of the member that has taken the fewest, and passes over the text.
    progress : list of Progress
        Of each member.
    """

    def __init__(
        self,
        network: BaseNetwork,
        params: Sequence[Parameters],
        batches: Batches,
        train: TrainConfig,
        engine: EngineConfig,
        on_event: OnEvent = log_event,
        tuning: TrainingTuning = DEFAULT_TUNING,
    ) -> None:
        self.batches = batches
        self.progress = [Progress(0, 0.0, None)] * train.ensemble
        self._network, self._params, self._corpus = network, params, batches.corpus
        self._train, self._engine, self._on_event, self._tuning = train, engine, on_event, tuning
        self._processes: list[subprocess.Popen[bytes]] = []
        self._at_once = max(1, train.threads)
        self._diverged: int | None = None  # the member whose request failed

    def __enter__(self) -> Members:
        """Start the processes. Raises ResourceError if the system refuses memory or a process."""
        ids = self._corpus.ids
        if uses_gpu(self._engine, ALONE):
            self._at_once = self.networks
        with ExitStack() as stack:
            try:
                block, file = allocate_shared_block(max(ids.nbytes, 1), stack)
            except OSError as error:
                raise ResourceError(f"cannot share {ids.nbytes:,} bytes between processes: {error}") from error
            np.frombuffer(block, ids.dtype, ids.size)[...] = ids
            corpus = replace(self._corpus, ids=ids[:0])
            for params, train in zip(self._params, member_configs(self._train), strict=True):
                process = stack.enter_context(start_worker("charlm.training.member", file, ADVICE, bufsize=-1))
                stack.callback(close_input, process)
                self._processes.append(process)
                text = (corpus, file, ids.size, str(ids.dtype))
                self._send(process, Job(self._network, params.flat, *text, train, self._engine, self._tuning))
            for k in range(self.networks):
                self._receive(k)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the processes: at once if a signal or a fault of the program ends the run."""
        if kind is not None and not issubclass(kind, CharlmError):
            for process in self._processes:
                process.kill()
        self._stack.close()

    @property
    def networks(self) -> int:
        """Number of members."""
        return len(self.progress)

    @property
    def step(self) -> int:
        """Steps of the member that has taken the fewest."""
        return min(progress.step for progress in self.progress)

    @property
    def epoch(self) -> float:
        """Passes over the training text of the member that has taken the fewest steps."""
        return min(progress.epoch for progress in self.progress)

    def advance(self, progress: float, seconds: float, until: float) -> StepResult | None:
        """Train for a fraction of a second; see `Member.advance`. Return the mean of the members, speeds added up.

        None if no member took a step. `progress` has no effect: each member computes its own.
        """
        self.progress = self._ask("advance", seconds, until)
        results = [one.result for one in self.progress if one.result]
        mean = mean_result(results)
        return mean and mean._replace(
            chars_per_second=sum(result.chars_per_second for result in results),
            member_losses=tuple(one.result.loss if one.result else None for one in self.progress),
        )

    def measure(self, held_out: HeldOut | None, logit_scale: float) -> Sums:
        """Return the sums of the mixture; see `Learner.measure`."""
        if held_out is None:
            self._ask("check")
            return Sums(0.0, 0.0, 0.0, 0.0)
        return mix_terms(np.array(self._ask("terms", held_out.limit, logit_scale)))

    def weights(self, logit_scale: float) -> list[Parameters]:
        """Return the averaged weights of each member, with the logit scale folded into the output layer."""
        return [self._network.parameters(flat) for flat in self._ask("weights", logit_scale)]

    def snapshot(self) -> None:
        """Store the state of all members for `roll_back`."""
        self._ask("snapshot")

    def roll_back(self, reason: str) -> None:
        """Return the member that diverged, or all of them, to their last snapshots."""
        diverged = range(self.networks) if self._diverged is None else [self._diverged]
        for k in diverged:
            self._send(self._processes[k], ("roll_back", (reason,)))
        for k in diverged:
            self.progress[k] = self._receive(k)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all members: arrays with the number of the member before their names, and values."""
        states = self._ask("state_dict")
        arrays = {
            f"{k}.{name}": value
            for k, state in enumerate(states)
            for name, value in state.items()
            if isinstance(value, np.ndarray)
        }
        values = [{name: value for name, value in state.items() if f"{k}.{name}" not in arrays}
                  for k, state in enumerate(states)]  # fmt: skip
        return {**arrays, "members": values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        states = [dict(values) for values in state["members"]]
        for name, value in state.items():
            member, _, rest = name.partition(".")
            if member.isdigit() and isinstance(value, np.ndarray):
                states[int(member)][rest] = value
        for process, own in zip(self._processes, states, strict=True):
            self._send(process, ("load_state_dict", (own,)))
        self.progress = [self._receive(k) for k in range(self.networks)]

    def free_buffers(self) -> None:
        """Free the buffers of all members."""
        self._ask("free_buffers")

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every member and return the results. Raises the first error.

        As many members as there are cores work at the same time. More would displace each other's weights from the
        caches. A GPU is shared by all.
        """
        results: list[Any] = []
        first: CharlmError | None = None
        for start in range(0, self.networks, self._at_once):
            group = range(start, min(start + self._at_once, self.networks))
            for k in group:
                self._send(self._processes[k], (method, arguments))
            for k in group:
                try:
                    results.append(self._receive(k))
                except CharlmError as error:
                    if first is None:
                        first, self._diverged = error, k
        if first is not None:
            raise first
        self._diverged = None
        return results

    def _send(self, process: subprocess.Popen[bytes], message: Any) -> None:
        """Send a job or a request. If the process has exited, `_receive` reports it."""
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                pickle.dump(message, process.stdin, pickle.HIGHEST_PROTOCOL)
                process.stdin.flush()

    def _receive(self, k: int) -> Any:
        """Return the result of member k, and pass its events on. Raises its error; ResourceError if it has exited."""
        process = self._processes[k]
        try:
            assert process.stdout is not None
            answer: Answer = pickle.load(process.stdout)  # noqa: S301
        except (EOFError, pickle.UnpicklingError):
            raise ResourceError(
                f"the process of member {k} exited with code {process.wait()}, perhaps for lack of memory; {ADVICE}"
            ) from None
        for event in answer.events:
            self._on_event(replace(event, message=f"member {k}: {event.message}"))
        if answer.error is not None:
            raise answer.error
        return answer.result


def close_input(process: subprocess.Popen[bytes]) -> None:
    """Close the standard input of a process, which then exits; it may have exited already."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
