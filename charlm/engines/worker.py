"""A worker process: one shard of a run. `NumpyEngine` starts it by `worker_script.py`.

It is told its split in a line of JSON on standard input. Then every GO there is a window to work on, which it answers
with DONE; RELEASE has it give its buffers back. When standard input ends, so does the worker: it never outlives its
run.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import sys
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from charlm.engines.shared_memory import Shard, ShardPlan, SharedMemory

GO, DONE, RELEASE = b"g", b"d", b"r"
AWAKE_SECONDS = 0.002
"""How long a process watches for what it waits for before it sleeps; windows of a small network lie closer together."""


def next_byte(descriptor: int) -> bytes:
    """Read a byte, b"" at the end; stay awake for a moment, as it takes long to be woken."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        sleeps = perf_counter() + AWAKE_SECONDS
        while not poll.poll(0) and perf_counter() < sleeps:
            pass
    return os.read(descriptor, 1)


def main() -> None:
    """Work until there is no more to do."""
    told = json.loads(sys.stdin.buffer.readline())
    split = ShardPlan(**told["split"])
    file = told["file"]
    descriptor = file if isinstance(file, int) else os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    block = mmap.mmap(descriptor, SharedMemory.size(split))
    os.close(descriptor)
    shard = Shard(split, SharedMemory(split, memoryview(block)), told["shard"])
    commands, answers = sys.stdin.fileno(), sys.stdout.fileno()
    np.seterr(over="ignore", invalid="ignore", divide="ignore")  # the trainer watches the loss and the gradient
    with threadpool_limits(1, user_api="blas"):
        os.write(answers, DONE)
        while command := next_byte(commands):
            if command == RELEASE:
                shard.release()
                continue
            shard.run()
            os.write(answers, DONE)

