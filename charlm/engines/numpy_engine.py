"""The NumPy engine: a window on several cores, in one process for each shard of its streams.

    ShardPlan -> shared memory -> this process and the workers: a gradient each -> sum in the order of the shards

The split depends on the number of shards alone, and their gradients are added in order: the same seed and the same
number of threads give the same bits.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path

from charlm.arrays import Array, Ids
from charlm.engines.engine import load_state, state_to_dict
from charlm.engines.shared_memory import ShardPlan, SharedMemory, allocate_shared_block
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.engines.worker import DONE, FREE, RUN, run_shard
from charlm.errors import ResourceError
from charlm.kernels.threads import blas_on_one_thread
from charlm.kernels.workspace import Workspace
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters

WORKER_SCRIPT = Path(__file__).with_name("worker_script.py").resolve()


class NumpyEngine:
    """An `Engine` on NumPy, with a worker process for each shard but the first; use as a context.

    Parameters
    ----------
    network : BaseNetwork
        The network to train.
    params : Parameters
        Initial parameters. They are copied into shared memory, and the copy is trained.
    steps, streams : int
        Shape (T, B) of a window.
    threads : int
        Number of cores to use, and of shards, at most one per stream.
    seed : int
        Seed of the dropout masks.
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
            self.params, self.grads = self._memory.params, self._memory.arrays["grads0"]
            self.params.flat[...] = self._initial.flat
            del self._initial  # frees them if no caller needs them
            self._work = Workspace(self._plan.dtype)
            for worker in self._workers:
                worker.wait_until_done()
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: ExitStack) -> tuple[SharedMemory, list[Worker]]:
        """Return the shared memory and a running worker for each shard but the first; `stack` frees them."""
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
        return float(self._memory.arrays["losses"].sum()) * float(self._memory.arrays["scale"][0])

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
    """The process of one shard; use as a context.

    It exits when the pipe to it closes, and ignores Ctrl-C, which the main process handles.

    Parameters
    ----------
    plan, shard : ShardPlan, int
        The run, and the shard to compute.
    file : int or str
        The shared memory: an open descriptor or a path.
    """

    def __init__(self, plan: ShardPlan, shard: int, file: int | str) -> None:
        self._plan, self._shard, self._file = plan, shard, file

    def __enter__(self) -> Worker:
        """Start the process and send it its job. Raises ResourceError if it cannot start."""
        try:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
                pass_fds=(self._file,) if isinstance(self._file, int) else (), start_new_session=True,
            )  # fmt: skip
        except (OSError, TypeError) as error:  # TypeError: an embedded Python may have no executable at all
            is_missing = not (sys.executable and os.path.exists(sys.executable))
            missing = f"there is no Python interpreter at {sys.executable!r} (sys.executable)"
            why = missing if is_missing else getattr(error, "strerror", None) or error
            raise ResourceError(f"cannot start a worker process: {why}; `threads=1` works without any") from error
        job = {"plan": asdict(self._plan), "shard": self._shard, "file": self._file}
        self.send(json.dumps(job).encode() + b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pipes and wait for the process to exit."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def send(self, command: bytes) -> None:
        """Send a command. If the process has exited, `wait_until_done` reports it."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(command)

    def wait_until_done(self) -> None:
        """Wait for the answer to the last RUN, or to the job. Raises ResourceError if the process has exited."""
        answers = self._process.stdout
        if answers is None or answers.read(1) != DONE:
            raise ResourceError(
                f"a worker process exited with code {self._process.wait()}, perhaps for lack of memory; "
                "`threads=1` works without any"
            )
