"""One window on several cores: the batch is split into shards of streams, a process for each.

The first shard runs here, the others in workers (`worker.py`); all see one block of shared memory
(`shared.py`), and a pipe carries a byte each way. The split depends on the number of shards alone, and their
gradients are added in order: the same seed and the same number of threads give the same bits.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from charlm.arrays import Array, Ids
from charlm.engines.engine import Item, Result, parts_of
from charlm.engines.shared_memory import Shard, ShardPlan, SharedMemory
from charlm.engines.worker import DONE, GO, RELEASE, next_byte
from charlm.errors import ResourceError
from charlm.kernels.threads import blas_on_one_thread
from charlm.nn.base import BaseNetwork, NetworkState, join_states
from charlm.nn.layout import Parameters
from charlm.text.store import temporary_space

WORKER_SCRIPT = Path(__file__).with_name("worker_script.py").resolve()
"""What a worker process runs."""


class NumpyEngine:
    """The streams of a run, split over cores; use as a context.

    network: what is trained.  params: its start; trained from then on is `self.params`, which is shared.
    steps, streams: T and B.  count: shards wanted; there are never more than streams.
    seed: of the dropout masks.
    Raises ResourceError if the system gives no memory or no process.
    """

    def __init__(
        self, network: BaseNetwork, params: Parameters, steps: int, streams: int, count: int, seed: int = 0
    ) -> None:
        dtype = str(params.flat.dtype)
        shards = min(count, streams)
        self.split = ShardPlan(
            asdict(network.config), network.vocabulary, network.start, steps, streams, shards, seed, dtype
        )
        self.threads = shards
        self.characters = 0.0
        self._stack = ExitStack()
        try:
            self._stack.enter_context(blas_on_one_thread)
            self._pool = self._stack.enter_context(ThreadPoolExecutor(shards, thread_name_prefix="charlm"))
            self._open(network, params)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, network: BaseNetwork, params: Parameters) -> None:
        """Make the block of shared memory and start the workers."""
        size = SharedMemory.size(self.split)
        workers = self.split.shards - 1
        try:
            block, file = shared_block(size, self._stack) if workers else (mmap.mmap(-1, size), None)
            self._workers = [start_worker(self.split, shard + 1, file, self._stack) for shard in range(workers)]
        except OSError as error:
            raise ResourceError(f"cannot share {size:,} bytes between {workers + 1} processes: {error}") from error
        self.memory = SharedMemory(self.split, memoryview(block))
        self.params = network.parameters(self.memory.arrays["params"])
        self.params.flat[...] = params.flat
        self.grads = [self.memory.arrays[f"grads{shard}"] for shard in range(self.split.shards)]
        self._own = Shard(self.split, self.memory, 0)
        self._wait()

    def __enter__(self) -> NumpyEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Back-propagate through a window; the mean gradient is left in `self.grads[0]`, (P,).

        inputs, targets: (T, B).  weights: (T, B), how much each target counts, or None.
        window: its number, which seeds the dropout masks.
        Returns the mean loss, in nats per character.
        """
        arrays = self.memory.arrays
        arrays["inputs"][...], arrays["targets"][...] = inputs, targets
        arrays["is_weighted"][0] = weights is not None
        if weights is not None:
            arrays["weights"][...] = weights
        total = float(targets.size if weights is None else weights.sum())
        self.characters = total
        arrays["scale"][0] = scale = 1 / max(total, 1.0)
        arrays["window"][0] = window
        for worker in self._workers:
            send(worker, GO)
        self._own.run()
        self._wait()
        for other in self.grads[1:]:
            self.grads[0] += other
        return float(arrays["losses"].sum()) * scale

    def release(self) -> None:
        """Give all buffers back, for something else that needs memory; the next window makes them anew."""
        for worker in self._workers:
            send(worker, RELEASE)
        self._own.release()

    def local_slice(self, count: int) -> slice:
        """Return which of `count` streams are read here: all."""
        return slice(0, count)

    def all_reduce_max(self, *values: float) -> list[float]:
        """Return the values: there are no other ranks."""
        return list(values)

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Return the values: there are no other ranks."""
        return list(values)

    def _wait(self) -> None:
        """Wait until every worker has answered.

        Raises ResourceError if one is no more.
        """
        for worker in self._workers:
            if worker.stdout is None or next_byte(worker.stdout.fileno()) != DONE:
                raise ResourceError(
                    f"a worker process ended (exit code {worker.wait()}), perhaps for lack of memory; "
                    "--threads 1 works without any"
                )

    def parameter_parts(self) -> list[slice]:
        """Return the flat vector cut into a part for each thread, or whole where that is not worth it."""
        return parts_of(self.params.flat.size, self.split.shards)

    def parallel_map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Call `do` with every item on threads, and return the results in the order of the items."""
        others = [self._pool.submit(do, item) for item in items[1:]]
        first = do(items[0])
        return [first, *(future.result() for future in others)]

    @property
    def state(self) -> NetworkState:
        """The state of all streams."""
        return join_states([self.memory.state(shard) for shard in range(self.split.shards)])

    @state.setter
    def state(self, state: NetworkState) -> None:
        for shard in range(self.split.shards):
            for layer, given in zip(self.memory.state(shard), state, strict=True):
                for array, value in zip(layer, given, strict=True):
                    array[...] = value[self.split.local_slice(shard)]


def shared_block(size: int, stack: ExitStack) -> tuple[mmap.mmap, int | str]:
    """Return zeroed memory that workers can open, and by what: a descriptor, or where there is none a path."""
    if hasattr(os, "memfd_create"):
        descriptor = above_standard_streams(os.memfd_create("charlm"))
        stack.callback(os.close, descriptor)
        os.truncate(descriptor, size)
        return mmap.mmap(descriptor, size), descriptor
    with temporary_space():
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="charlm-", ignore_cleanup_errors=True)))
        path /= "shared"
        path.write_bytes(bytes(size))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size), str(path)


def above_standard_streams(descriptor: int) -> int:
    """Return the descriptor, or a duplicate above 2 in its stead: 0 to 2 are the worker's own streams."""
    if descriptor > 2:
        return descriptor
    import fcntl  # there is none on Windows, which has no memfd_create either

    duplicate = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return duplicate


def start_worker(split: ShardPlan, shard: int, file: int | str | None, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start the worker of a shard. It ends when the pipe to it closes, and heeds no Ctrl-C of its own."""
    try:
        worker = subprocess.Popen(
            [sys.executable, str(WORKER_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=(file,) if isinstance(file, int) else (),
            start_new_session=True,
        )
    except (OSError, TypeError) as error:  # TypeError: an embedded Python may have no executable at all
        is_missing = not (sys.executable and os.path.exists(sys.executable))
        missing = f"there is no Python interpreter at {sys.executable!r} (sys.executable)"
        why = missing if is_missing else getattr(error, "strerror", None) or error
        raise ResourceError(f"cannot start a worker process: {why}; --threads 1 works without any") from error
    stack.callback(stop_worker, worker)
    told = {"split": split.to_json(), "shard": shard, "file": file}
    send(worker, json.dumps(told).encode() + b"\n")
    return worker


def send(worker: subprocess.Popen[bytes], command: bytes) -> None:
    """Tell a worker what to do; one that is no more is noticed when its answer is awaited."""
    if worker.stdin is not None:
        try:
            worker.stdin.write(command)
        except BrokenPipeError:
            return


def stop_worker(worker: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a worker and wait for its end."""
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            pipe.close()
    worker.wait()
