"""One shard of the NumPy engine, and the worker process that computes it.

A worker reads its job, a line of JSON, from standard input. It answers every RUN with DONE on standard output, frees
its buffers at FREE, and exits when standard input closes, so that it never outlives its run.
"""

from __future__ import annotations

import json
import os
import select
import sys
from contextlib import suppress
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from charlm.arrays import split_evenly
from charlm.engines.shared_memory import ShardPlan, SharedMemory, map_shared_block, micro_batches_of
from charlm.engines.tuning import EngineTuning
from charlm.kernels.workspace import Workspace
from charlm.nn.layout import Parameters
from charlm.nn.window import Window

RUN, DONE, FREE = b"r", b"d", b"f"


def run_shard(memory: SharedMemory, shard: int, work: Workspace) -> None:
    """Backpropagate through one shard's streams of the window; write their gradient, state and loss to the memory.

    The gradients of micro-batches are added up in `work`, which also holds the buffers of the network.
    """
    plan, network, arrays = memory.plan, memory.network, memory.arrays
    own = plan.local_slice(shard)
    micro_batches = micro_batches_of(network, plan.steps, own.stop - own.start, plan.tuning)
    seeds = [plan.seed, 4, int(arrays["window"][0]), shard]
    rng = np.random.default_rng(seeds) if network.config.has_dropout else None
    total, loss = network.parameters(arrays[f"grads{shard}"]), 0.0
    for number, streams in enumerate(split_evenly(own.start, own.stop, micro_batches)):
        grads = network.parameters(work.array("grads", network.size)) if number else total
        loss += run_micro_batch(memory, streams, grads, work, rng)
        if number:
            total.flat += grads.flat
    arrays["losses"][shard] = loss


def run_micro_batch(
    memory: SharedMemory, streams: slice, grads: Parameters, work: Workspace, rng: np.random.Generator | None
) -> float:
    """Backpropagate through some streams; write `grads` and their state, and return their summed loss in nats."""
    network, arrays, state = memory.network, memory.arrays, memory.state(streams)
    inputs, targets, weights = (
        np.ascontiguousarray(arrays[name][:, streams]) for name in ("inputs", "targets", "weights")
    )
    window = Window(inputs, targets, weights if arrays["is_weighted"][0] else None, float(arrays["scale"][0]))
    loss, new_state = network.loss_and_grads(memory.params, grads, window, state, work, rng)
    for layer, new_layer in zip(state, new_state, strict=True):
        for array, value in zip(layer, new_layer, strict=True):
            array[...] = value  # a view of the memory
    return loss


def read_byte(descriptor: int, tuning: EngineTuning) -> bytes:
    """Read one byte from a pipe, b"" at its end; poll for a moment before sleeping."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline = perf_counter() + tuning.max_spin_seconds
        while not poll.poll(0) and perf_counter() < deadline:
            pass
    return os.read(descriptor, 1)


def main() -> None:
    """Run one shard until standard input closes, or nobody reads the answers: the main process was killed."""
    job = json.loads(sys.stdin.buffer.readline())
    plan = ShardPlan.from_dict(job["plan"])
    block = map_shared_block(job["file"], SharedMemory.size(plan))
    memory, work = SharedMemory(plan, memoryview(block)), Workspace(plan.dtype)
    commands, answers = sys.stdin.fileno(), sys.stdout.fileno()
    np.seterr(over="ignore", invalid="ignore", divide="ignore")  # the trainer checks the loss and the gradient
    with threadpool_limits(1, user_api="blas"), suppress(BrokenPipeError):
        os.write(answers, DONE)
        while command := read_byte(commands, plan.tuning):
            if command == FREE:
                work = Workspace(plan.dtype)
            else:
                run_shard(memory, job["shard"], work)
                os.write(answers, DONE)
