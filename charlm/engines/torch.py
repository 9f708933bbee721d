"""The network on PyTorch, and several processes of it under torchrun. The only module that imports torch.

The parameters stay the flat vector of charlm: on a CPU the modules of PyTorch are views of it, on another device
it is copied there before a window and the gradient back. Clipping, optimizer, average and files are those of charlm.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import PackedSequence

from charlm.arrays import Array, Ids
from charlm.config import EngineConfig
from charlm.engines.engine import Item, Result, parts_of
from charlm.engines.failures import as_resource_errors
from charlm.engines.ranks import MAX_SECONDS, Ranks
from charlm.engines.requirements import refuse_what_torch_lacks
from charlm.engines.segments import cut_into_segments, cut_into_spans, draw_masks
from charlm.errors import ConfigError, ResourceError
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layout import Parameters


class Packed(NamedTuple):
    """`Segments` on the device, sizes on the CPU."""

    sizes: torch.Tensor
    columns: torch.Tensor
    carried: torch.Tensor
    last: torch.Tensor


class Window(NamedTuple):
    """A window on the device, (T*B,) each, in the order of `packed`, or step by step if that is None.

    spans: of steps, at whose first ones streams start anew where keep (T, B, 1) is 0; none where it is packed.
    masks, dropped: of `draw_masks`, (B, H) and (G*H, H) for each layer.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None
    streams: torch.Tensor
    packed: Packed | None
    spans: list[slice]
    keep: torch.Tensor | None
    masks: list[torch.Tensor]
    dropped: list[torch.Tensor]


State = tuple[torch.Tensor, ...]
"""Of a layer, (B, H) each."""


class Model(torch.nn.Module):
    """A stack of `torch.nn.LSTM`, `GRU` or `RNN` of one layer each, with dropout between, and a `Linear` head."""

    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        self.vocabulary = network.vocabulary
        hidden, cell = network.config.hidden, network.cell
        kind = getattr(torch.nn, str(cell.torch_name))
        self.stack = torch.nn.ModuleList(
            kind(hidden if layer else network.vocabulary, hidden, **cell.torch_options)
            for layer in range(network.config.layers)
        )
        self.head = torch.nn.Linear(hidden, network.vocabulary)

    def tensors(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters by their names in a model file."""
        owners = [(f"rnn.{{}}_l{layer}", module) for layer, module in enumerate(self.stack)] + [("head.{}", self.head)]
        return {
            form.format(name.removesuffix("_l0")): parameter
            for form, module in owners
            for name, parameter in module.named_parameters()
        }

    def forward(self, window: Window, state: Sequence[State]) -> tuple[torch.Tensor, list[State]]:
        """Return the summed loss in nats, and the new state."""
        xs = torch.nn.functional.one_hot(window.inputs, self.vocabulary).to(self.head.weight.dtype)
        after: list[State] = []
        for layer, (module, ends) in enumerate(zip(self.stack, state, strict=True)):
            weights = {}
            if window.dropped:
                weights["weight_hh_l0"] = module.get_parameter("weight_hh_l0") * window.dropped[layer]
            if window.packed is not None:
                sizes, columns, carried, last = window.packed
                first = tuple(array[columns] * carried for array in ends)
                read, ends = run(module, weights, PackedSequence(xs, sizes), first)
                xs, ends = read.data, tuple(array[last] for array in ends)
            elif window.keep is not None:
                steps, parts = xs.unflatten(0, (len(window.keep), -1)), []
                for span in window.spans:
                    first = tuple(array.float() * window.keep[span.start] for array in ends)
                    part, ends = run(module, weights, steps[span], first)
                    parts.append(part)
                xs = torch.cat(parts).flatten(0, 1)
            after.append(tuple(array.detach().float() for array in ends))
            if window.masks:
                xs = xs * window.masks[layer][window.streams]
        losses = torch.nn.functional.cross_entropy(self.head(xs).float(), window.targets, reduction="none")
        return (losses if window.weights is None else losses * window.weights).sum(), after


def run(module: torch.nn.Module, weights: dict[str, torch.Tensor], xs: Any, first: State) -> tuple[Any, State]:
    """Run a layer over a sequence; return its outputs and last state.  weights: what stands in for its own."""
    state = tuple(array[None] for array in first)
    given = (xs, state if len(state) > 1 else state[0])
    read, last = torch.func.functional_call(module, weights, given) if weights else module(*given)
    return read, tuple(array[0] for array in (last if isinstance(last, tuple) else (last,)))


class TorchEngine:
    """An `Engine` on PyTorch; use as a context.

    network: what is trained.  params: its start.  streams: B, of all ranks together.
    Raises ConfigError or ResourceError for what PyTorch cannot do, here or at all.
    """

    def __init__(
        self, network: BaseNetwork, params: Parameters, streams: int, config: EngineConfig,
        *, ranks: Ranks, threads: int, seed: int,
    ) -> None:  # fmt: skip
        refuse_what_torch_lacks(network.config)
        if streams < ranks.world_size:
            raise ConfigError(f"{streams} streams cannot be split over {ranks.world_size} ranks; a larger --batch can")
        self.network, self.ranks, self.threads, self.seed = network, ranks, threads, seed
        self.streams = streams
        self.params, self.grads = params, [np.zeros_like(params.flat)]
        self.characters = 0.0
        self.device = find_device(config.device, ranks)
        self._is_bfloat16 = config.precision == "bfloat16"
        self.cast = torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_bfloat16)
        self._own = ranks.local_slice(streams)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="charlm")
        torch.set_num_threads(threads)
        with as_resource_errors():
            self.model = Model(network).to(self.device)
            self._tensors = self._tie()
            self._run: Callable[..., Any] = self._join() if ranks.world_size > 1 else self.model
        self._state: list[State] = []
        self.state = network.zero_state(streams)

    def _tie(self) -> Any:
        """Make the modules' parameters views of the flat vector, where they share its memory."""
        tensors = self.model.tensors()
        if shares_memory(self.device):
            for name, tensor in tensors.items():
                tensor.data = torch.from_numpy(self.params[name])
        return tensors

    def _join(self) -> Any:
        """Meet the other ranks."""
        store = open_store(self.ranks)
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=self.ranks.rank, world_size=self.ranks.world_size)
        return DistributedDataParallel(self.model)

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if self.ranks.world_size > 1:
            if kind is None:
                self.all_reduce_sum(0)  # who leaves early must not break what others still wait for
            distributed.destroy_process_group()
            del self._run, self.model, self._tensors  # they hold on to the group, whose threads end when it goes
            gc.collect()

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Back-propagate through this rank's streams (T, b), as in `Engine`."""
        (self.characters,) = self.all_reduce_sum(inputs.size if weights is None else float(weights.sum()))
        with as_resource_errors():
            if not shares_memory(self.device):
                for name, tensor in self._tensors.items():
                    tensor.data.copy_(torch.from_numpy(self.params[name]))
            self.model.zero_grad(set_to_none=True)
            with self._casting():
                loss, self._state = self._run(self._pack(inputs, targets, weights, window), self._state)
            (loss * (self.ranks.world_size / max(self.characters, 1.0))).backward()  # DDP takes the mean over ranks
            grads = Parameters(self.network.layout, self.grads[0])
            for name, tensor in self._tensors.items():
                if tensor.grad is not None:
                    grads[name][...] = tensor.grad.cpu().numpy()
        return self.all_reduce_sum(float(loss.detach()))[0] / max(self.characters, 1.0)

    @contextmanager
    def _casting(self) -> Iterator[None]:
        """Compute in the precision that was asked for.

        On a CPU without AVX-512 oneDNN fails at an LSTM in bfloat16; PyTorch's own LSTM then takes its place.
        """
        one_dnn = torch.backends.mkldnn
        before = one_dnn.enabled
        if self._is_bfloat16 and self.device.type == "cpu" and one_dnn.is_available():
            one_dnn.enabled = before and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        try:
            with self.cast:
                yield
        finally:
            one_dnn.enabled = before

    def _pack(self, inputs: Ids, targets: Ids, weights: Array | None, window: int) -> Window:
        """Bring a window to the device. Masks are drawn for all streams: they do not depend on the ranks."""
        start, streams = self.network.start, inputs.shape[1]
        spans = cut_into_spans(inputs, start)
        places: Ids = np.arange(inputs.size)
        packed, keep = None, None
        if spans:
            keep = self._there((inputs != start)[:, :, None].astype(np.float32))
        else:
            cut = cut_into_segments(inputs, start)
            places = cut.places
            rows = (self._there(array) for array in (cut.columns, cut.carried[:, None], cut.last))
            packed = Packed(torch.from_numpy(cut.sizes), *rows)
        rng = np.random.default_rng([self.seed, 4, window, 0])  # that of one shard on NumPy
        masks, dropped = draw_masks(self.network, self.streams, rng)
        return Window(
            self._there(inputs.ravel()[places]), self._there(targets.ravel()[places]),
            None if weights is None else self._there(weights.ravel()[places]),
            self._there(places % streams), packed, spans, keep,
            [self._there(np.array(mask[self._own], order="C")) for mask in masks],
            [self._there(mask) for mask in dropped],
        )  # fmt: skip

    def _there(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    @property
    def state(self) -> NetworkState:
        """The state of all streams; each rank fills in its own, and all get the sum."""
        whole = np.zeros((len(self._state), len(self._state[0]), self.streams, self.network.config.hidden), np.float32)
        for to, layer in zip(whole, self._state, strict=True):
            for place, array in zip(to, layer, strict=True):
                place[self._own] = array.cpu().numpy()
        self._all_reduce(torch.from_numpy(whole), distributed.ReduceOp.SUM)
        return [tuple(layer) for layer in whole]

    @state.setter
    def state(self, state: NetworkState) -> None:
        own = self._own
        self._state = [tuple(self._there(np.array(array[own], order="C")) for array in layer) for layer in state]

    def local_slice(self, count: int) -> slice:
        """As in `Engine`."""
        return self.ranks.local_slice(count)

    def all_reduce_max(self, *values: float) -> list[float]:
        """As in `Engine`."""
        return self._reduced(values, distributed.ReduceOp.MAX)

    def all_reduce_sum(self, *values: float) -> list[float]:
        """As in `Engine`."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def _reduced(self, values: Sequence[float], how: Any) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64)
        self._all_reduce(tensor, how)
        return [float(value) for value in tensor]

    def _all_reduce(self, tensor: torch.Tensor, how: Any) -> None:
        if self.ranks.world_size > 1:
            with as_resource_errors():
                distributed.all_reduce(tensor, how)

    def release(self) -> None:
        """PyTorch keeps its buffers itself."""

    def parameter_parts(self) -> list[slice]:
        """As in `Engine`."""
        return parts_of(self.params.flat.size, self.threads)

    def parallel_map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """As in `Engine`."""
        return list(self._pool.map(do, items))


def shares_memory(device: torch.device) -> bool:
    """Return whether tensors of `device` may be views of the flat vector of parameters."""
    return bool(device.type == "cpu")


def find_device(name: str, ranks: Ranks) -> torch.device:
    """Return the device called `name`; the best there is for "auto", which never takes Apple's by itself for ranks.

    Raises ResourceError if there is none of that name here.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if has["cuda"] else "mps" if has["mps"] and ranks.world_size == 1 else "cpu"
    if not has[name]:
        raise ResourceError(f"--device {name}: PyTorch finds no such device here; leave --device out")
    device = torch.device(name, ranks.local_rank) if name == "cuda" else torch.device(name)
    if name == "cuda":
        torch.cuda.set_device(device)
    return device


def open_store(ranks: Ranks) -> Any:
    """Return the store in which all ranks are: torchrun's, or else that of rank 0, which serves it.

    Each wait can be ended by a signal: the store of `distributed.rendezvous` waits for all ranks within one call.
    """
    host, port = ranks.address
    is_server = ranks.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    if not is_server:
        ranks.wait_for_server()
    store = distributed.TCPStore(
        host,
        port,
        ranks.world_size,
        is_server,
        timedelta(seconds=MAX_SECONDS),
        wait_for_workers=False,
        multi_tenant=True,
    )
    store = distributed.PrefixStore(f"charlm.{ranks.restarts}", store)  # no key of before a restart counts
    ranks.wait_for_all(store)
    return store
