"""The NumPy engine: data parallelism over processes that share memory.

The B streams of a window are split into shards. This process computes the gradient of shard 0, and one worker process
that of each other shard. Each shard has its own gradient array; the arrays are summed in the order of the shards. So
the same seed and the same number of threads give the same bits.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict

from charlm.arrays import Array, Ids
from charlm.engines.engine import load_state, state_to_dict
from charlm.engines.shared_memory import ShardPlan, SharedMemory, allocate_shared_block
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.engines.worker import DONE, FREE, RUN, read_byte, run_shard
from charlm.engines.worker_process import start_worker
from charlm.errors import ResourceError
from charlm.kernels.threads import blas_on_one_thread
from charlm.kernels.workspace import Workspace
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters

ADVICE = "`threads=1` works without any"
"""What a user can do about a worker process that cannot start or has exited."""


class NumpyEngine:
    """An `Engine` on NumPy, with one process per shard of the streams; use as a context.

    The attributes `params`, `grads` and `characters` are those of `Engine`.

    Parameters
    ----------
    network : BaseNetwork
        The network to train.
    params : Parameters
        Initial parameters. They are copied into shared memory, and the copy is trained.
    steps, streams : int
        Shape (T, B) of a window.
    threads : int
        Number of shards, one core each; at most one shard per stream is created.
    seed : int
        Seed of the dropout masks.
    tuning : EngineTuning
        When to split a shard into micro-batches.
    """

    params: Parameters
    grads: Array

    def __init__(
        self,
        network: BaseNetwork,
        params: Parameters,
        steps: int,
        streams: int,
        threads: int,
        seed: int = 0,
        tuning: EngineTuning = DEFAULT_TUNING,
    ) -> None:
        self.characters = 0.0
        self._initial = params
        self._plan = ShardPlan(
            network.config, network.vocabulary, network.start, steps, streams, min(threads, streams), seed,
            str(params.flat.dtype), tuning,
        )  # fmt: skip

    def __enter__(self) -> NumpyEngine:
        """Allocate shared memory and start the workers.

        Raises
        ------
        ResourceError
            If the system refuses the memory or a process.
        """
        with ExitStack() as stack:
            stack.enter_context(blas_on_one_thread)
            self._memory, self._workers = self._start(stack)
            self.params = self._memory.params
            self.grads = self._memory.arrays["grads0"]  # of shard 0; `loss_and_grads` adds those of the others
            self.params.flat[...] = self._initial.flat
            del self._initial  # the copy is trained; the caller may free the original
            self._work = Workspace(self._plan.dtype)
            for worker in self._workers:
                worker.wait_until_done()
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: ExitStack) -> tuple[SharedMemory, list[Worker]]:
        """Allocate the memory and start a worker for each shard but the first; `stack` releases both.

        A single shard needs no memory that other processes can map.
        """
        plan, size = self._plan, SharedMemory.size(self._plan)
        try:
            if plan.shards == 1:
                return SharedMemory(plan, memoryview(mmap.mmap(-1, size))), []
            block, file = allocate_shared_block(size, stack)
            workers = [stack.enter_context(Worker(plan, shard, file)) for shard in range(1, plan.shards)]
            return SharedMemory(plan, memoryview(block)), workers
        except OSError as error:
            raise ResourceError(f"cannot share {size:,} bytes between {plan.shards} processes: {error}") from error

    def __exit__(self, *_: object) -> None:
        """Stop the workers and free the memory."""
        self._stack.close()

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Backpropagate through a window (T, B); see `Engine.loss_and_grads`."""
        self.characters = self._memory.write_window(inputs, targets, weights, window)
        for worker in self._workers:
            worker.send(RUN)
        run_shard(self._memory, 0, self._work)
        for worker in self._workers:
            worker.wait_until_done()
        for shard in range(1, self._plan.shards):
            self.grads += self._memory.arrays[f"grads{shard}"]
        summed_loss, scale = self._memory.arrays["losses"].sum(), self._memory.arrays["scale"][0]
        return float(summed_loss) * float(scale)  # scale: 1 / summed weight of the targets, also in the gradients

    def state_dict(self) -> dict[str, Array]:
        """Return the carried state of all streams; see `Engine.state_dict`."""
        return state_to_dict(self._memory.state(slice(None)))

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Set the carried state of all streams; see `Engine.load_state_dict`."""
        load_state(self._memory.state(slice(None)), arrays)

    def free_buffers(self) -> None:
        """Free the buffers of all processes; the next window allocates them again."""
        for worker in self._workers:
            worker.send(FREE)
        self._work = Workspace(self._plan.dtype)


class Worker:
    """A handle of the process that computes one shard; use as a context.

    The process runs `charlm.engines.worker`.

    Parameters
    ----------
    plan : ShardPlan
        The network and the split of the streams.
    shard : int
        Index of the shard to compute, from 1.
    file : int or str
        The shared memory: an open descriptor or a path.
    """

    def __init__(self, plan: ShardPlan, shard: int, file: int | str) -> None:
        self._plan, self._shard, self._file = plan, shard, file

    def __enter__(self) -> Worker:
        """Start the process and send it plan, shard and file as JSON. Raises ResourceError if it cannot start."""
        self._process = start_worker("charlm.engines.worker", self._file, ADVICE)
        job = {"plan": asdict(self._plan), "shard": self._shard, "file": self._file}
        self.send(json.dumps(job).encode() + b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipes and wait for the process to exit."""
        with self._process:
            pass

    def send(self, command: bytes) -> None:
        """Send RUN, FREE or the job. If the process has exited, `wait_until_done` reports it."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(command)

    def wait_until_done(self) -> None:
        """Wait for DONE, the answer to the job and to each RUN. Raises ResourceError if the process has exited."""
        answers = self._process.stdout
        if answers is None or read_byte(answers.fileno(), self._plan.tuning) != DONE:
            raise ResourceError(
                f"a worker process exited with code {self._process.wait()}, perhaps for lack of memory; {ADVICE}"
            )
