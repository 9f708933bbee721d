"""A worker process: one shard of a run. Started by `Shards`, not by hand.

It is told its split in a line of JSON on standard input; then every byte there is a window to work on, and it
answers each with a byte. When standard input ends, so does the worker: it never outlives its run.
"""

from __future__ import annotations

import json
import mmap
import os
import sys

import numpy as np
from threadpoolctl import threadpool_limits

from charlm.training.shared import Shard, SharedMemory, Split

GO, DONE = b"g", b"d"


def main() -> None:
    """Work until there is no more to do."""
    told = json.loads(sys.stdin.buffer.readline())
    split = Split(**told["split"])
    file = told["file"]
    descriptor = file if isinstance(file, int) else os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    block = mmap.mmap(descriptor, SharedMemory.size(split))
    os.close(descriptor)
    shard = Shard(split, SharedMemory(split, memoryview(block)), told["shard"])
    commands, answers = sys.stdin.fileno(), sys.stdout.fileno()
    np.seterr(over="ignore", invalid="ignore", divide="ignore")  # the trainer watches the loss and the gradient
    with threadpool_limits(1, user_api="blas"):
        os.write(answers, DONE)
        while os.read(commands, 1) == GO:
            shard.run()
            os.write(answers, DONE)


if __name__ == "__main__":
    main()
