"""The process group of several ranks on PyTorch."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from charlm.engines.process_group import ProcessGroup, wait_for_all, wait_for_server
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.errors import ResourceError


@contextmanager
def as_resource_errors() -> Iterator[None]:
    """Turn errors of PyTorch, such as a lack of memory or a rank that has exited, into a ResourceError of one line."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ResourceError(
            "the GPU has too little memory; a smaller `hidden`, `layers`, `batch`, `bptt` or `ensemble` needs less"
        ) from error
    except RuntimeError as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ResourceError(f"PyTorch failed, or another rank has exited: {why}") from error


@dataclass(frozen=True)
class TorchProcessGroup(ProcessGroup):
    """The ranks of a run under torchrun, connected by `torch.distributed`.

    The ranks connect when the context is entered, after each has read its text. Engines must exit before their group.

    Attributes
    ----------
    device : str
        Device of the engine's tensors, as in `EngineConfig`.
    tuning : EngineTuning
        Durations of the waits.
    """

    device: str = "auto"
    tuning: EngineTuning = DEFAULT_TUNING

    def __enter__(self) -> TorchProcessGroup:
        """Wait for the other ranks. Raises ResourceError if some are missing."""
        uses_cuda = self.device in ("auto", "cuda") and torch.cuda.is_available()
        backend = "cpu:gloo,cuda:nccl" if uses_cuda else "gloo"
        with as_resource_errors():
            distributed.init_process_group(backend, store=self._connect(), rank=self.rank, world_size=self.world_size)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Wait until all ranks leave without an error, since a rank that leaves early fails the others."""
        if kind is None:
            self.all_reduce_sum(0)
        distributed.destroy_process_group()
        gc.collect()  # the threads of the group end when the last DistributedDataParallel is collected

    def _connect(self) -> Any:
        """Return the store that connects all ranks: that of torchrun, or else one that rank 0 serves.

        A signal ends each wait. `distributed.rendezvous` would wait for all ranks in one uninterruptible call.
        """
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        is_server = self.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        if not is_server:
            wait_for_server(host, port, self.tuning)
        timeout = timedelta(seconds=self.tuning.max_wait_seconds)
        store = distributed.TCPStore(
            host, port, self.world_size, is_server, timeout, wait_for_workers=False, multi_tenant=True
        )
        store = distributed.PrefixStore(f"charlm.{self.restarts}", store)  # hides the keys of earlier restarts
        wait_for_all(store, self.rank, self.world_size, self.tuning)
        return store

    def _all_reduce(self, values: Sequence[float], operation: str) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        with as_resource_errors():
            distributed.all_reduce(tensor, getattr(distributed.ReduceOp, operation))
        return [float(value) for value in tensor]
