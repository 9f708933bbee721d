"""One shard of the NumPy engine, and the worker process that runs it.

A worker reads its job, a line of JSON, from standard input. It answers every RUN with DONE on standard output, frees
its buffers at FREE, and exits when standard input closes, so that it never outlives its run.
"""

from __future__ import annotations

import json
import os
import select
import sys
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from charlm.arrays import split_evenly
from charlm.engines.engine import copy_state
from charlm.engines.shared_memory import ShardPlan, SharedMemory, map_shared_block, micro_batches_of
from charlm.kernels.workspace import Workspace
from charlm.nn.layout import Parameters
from charlm.nn.window import Window

RUN, DONE, FREE = b"r", b"d", b"f"


class Shard:
    """Computes the gradient of one shard's streams; all of its state is in the shared memory."""

    def __init__(self, plan: ShardPlan, memory: SharedMemory, shard: int) -> None:
        self._plan, self._memory, self._shard = plan, memory, shard
        self._network = memory.network
        self._params = self._network.parameters(memory.arrays["params"])
        self._grads = self._network.parameters(memory.arrays[f"grads{shard}"])
        self._work = Workspace(plan.dtype)

    def free_buffers(self) -> None:
        """Free the buffers of a window; the next window allocates them again."""
        self._work = Workspace(self._plan.dtype)

    def run(self) -> None:
        """Backpropagate through this shard's streams of the window; write gradient, state and loss."""
        plan, network, arrays = self._plan, self._network, self._memory.arrays
        own = plan.local_slice(self._shard)
        count = micro_batches_of(network, plan.steps, own.stop - own.start, plan.tuning)
        seeds = [plan.seed, 4, int(arrays["window"][0]), self._shard]
        rng = np.random.default_rng(seeds) if network.config.has_dropout else None
        grads, loss = self._grads, 0.0
        for micro_batch in split_evenly(0, own.stop - own.start, count):
            loss += self._backpropagate(micro_batch, grads, rng)
            if grads is not self._grads:
                self._grads.flat += grads.flat
            elif count > 1:
                grads = network.parameters(self._work.array("grads", network.size))
        arrays["losses"][self._shard] = loss

    def _backpropagate(self, streams: slice, grads: Parameters, rng: np.random.Generator | None) -> float:
        """Backpropagate through some of this shard's streams; return their summed loss in nats."""
        arrays, first = self._memory.arrays, self._plan.local_slice(self._shard).start
        columns = slice(first + streams.start, first + streams.stop)
        state = self._network.select(self._memory.state(self._shard), streams)  # views
        window = Window(
            np.ascontiguousarray(arrays["inputs"][:, columns]),
            np.ascontiguousarray(arrays["targets"][:, columns]),
            np.ascontiguousarray(arrays["weights"][:, columns]) if arrays["is_weighted"][0] else None,
            float(arrays["scale"][0]),
        )
        loss, new_state = self._network.loss_and_grads(self._params, grads, window, state, self._work, rng)
        copy_state(state, new_state)
        return loss


def read_byte(descriptor: int, spin_seconds: float) -> bytes:
    """Read a byte, b"" at the end of the stream; poll for `spin_seconds` before sleeping."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        end = perf_counter() + spin_seconds
        while not poll.poll(0) and perf_counter() < end:
            pass
    return os.read(descriptor, 1)


def main() -> None:
    """Run one shard until standard input closes."""
    job = json.loads(sys.stdin.buffer.readline())
    plan = ShardPlan.from_dict(job["plan"])
    block = map_shared_block(job["file"], SharedMemory.size(plan))
    shard = Shard(plan, SharedMemory(plan, memoryview(block)), job["shard"])
    commands, answers = sys.stdin.fileno(), sys.stdout.fileno()
    np.seterr(over="ignore", invalid="ignore", divide="ignore")  # the trainer checks the loss and the gradient
    with threadpool_limits(1, user_api="blas"):
        os.write(answers, DONE)
        while command := read_byte(commands, plan.tuning.spin_seconds):
            if command == FREE:
                shard.free_buffers()
            else:
                shard.run()
                os.write(answers, DONE)
