"""The PyTorch engine: the weights of a network on a device, or those of one rank under torchrun.

Weights, gradients, moments of the optimizer, averaged weights and carried state stay on the device. The host sees the
losses and norms that it reads, and the weights when something is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from charlm.arrays import Array, Ids
from charlm.config import EngineConfig, TrainConfig
from charlm.engines.engine import StepValues, load_state, state_to_dict
from charlm.engines.process_group import ProcessGroup
from charlm.engines.torch_evaluator import TorchEvaluator
from charlm.engines.torch_group import as_resource_errors
from charlm.engines.torch_model import BidirectionalWindow, DeviceWindow, Model, State, drop_weights
from charlm.engines.torch_update import TorchUpdate, flatten, load, total_norm
from charlm.engines.torch_window import copy_to, to_bidirectional_window, to_window
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.errors import ConfigError, ResourceError
from charlm.kernels.workspace import Workspace
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.stack import Stack


class TorchEngine:
    """An `Engine` on PyTorch; use as a context, inside that of its process group.

    Parameters
    ----------
    network : BaseNetwork
        The network to train.
    params : Parameters
        Initial parameters.
    streams : int
        Number of streams B of all ranks together.
    config : EngineConfig
        Device and precision.
    train : TrainConfig
        Optimizer, clipping, averaging, number of threads, and the seed of the dropout masks.
    group : ProcessGroup
        The ranks, which read a slice of the streams each.

    Raises
    ------
    ConfigError
        If there are fewer streams than ranks, or several ranks for a bidirectional network.
    """

    _state: State

    def __init__(
        self,
        network: BaseNetwork,
        params: Parameters,
        streams: int,
        config: EngineConfig,
        train: TrainConfig,
        group: ProcessGroup,
        tuning: EngineTuning = DEFAULT_TUNING,
    ) -> None:
        if streams < group.world_size:
            raise ConfigError(f"{streams} streams cannot be split over {group.world_size} ranks; increase `batch`")
        if group.world_size > 1 and network.config.bidirectional:
            raise ConfigError("several ranks cannot train a `bidirectional` network; start one process")
        self._initial = params
        self._network, self._streams, self._config, self._train = network, streams, config, train
        self._group, self._tuning = group, tuning
        self._own = group.local_slice(streams)
        self._pending: list[tuple[torch.Tensor, ...]] = []  # summed loss, norm, characters of steps

    def __enter__(self) -> TorchEngine:
        """Build the modules on the device.

        Raises
        ------
        ResourceError
            If this machine has no such device, or too little memory.
        """
        self._device = find_device(self._config.device, self._group)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        torch.set_num_threads(self._train.threads)
        with as_resource_errors():
            self._model = Model(self._network).to(self._device)
            self._averaged = Model(self._network).to(self._device).eval() if self._train.average else self._model
            self._weights, self._averages = (
                list(own.named_tensors().values()) for own in (self._model, self._averaged)
            )
            is_alone = self._group.world_size == 1
            self._run: Callable[..., Any] = self._model if is_alone else DistributedDataParallel(self._model)
            for tensors in (self._weights, self._averages):
                load(tensors, self._initial.flat)
            self._update = TorchUpdate(self._weights, self._averages, self._train)
            names = self._model.named_tensors()
            self._recurrent = [names[name] for name in names if "weight_hh" in name]
        del self._initial
        self._set_state(self._network.zero_state(self._streams))
        return self

    def __exit__(self, *_: object) -> None:
        """Free the tensors, and so the reference of DistributedDataParallel to the process group.

        Memory of a GPU that PyTorch keeps goes to other processes, such as the members of an ensemble.
        """
        del self._run, self._model, self._averaged, self._update, self._state
        del self._weights, self._averages, self._recurrent
        self._pending = []
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def is_asynchronous(self) -> bool:
        """Whether the device computes while the host continues."""
        return bool(self._device.type != "cpu")

    def step(self, inputs: Ids, targets: Ids, weights: Array | None, window: int, rate: float) -> None:
        """Train on this rank's streams (T, b) of a window; see `Engine.step`."""
        own = inputs.size if weights is None else float(weights.sum())
        with as_resource_errors():
            characters = torch.full((), own, device=self._device, dtype=torch.float32)
            if self._group.world_size > 1:
                distributed.all_reduce(characters)
            output_masks, weight_masks = self._draw_masks(window)
            there = self._to_device(inputs, targets, weights, output_masks)
            self._model.zero_grad(set_to_none=True)
            with drop_weights(self._recurrent, weight_masks):
                with self._autocast():
                    loss, self._state = self._run(there, self._state)
                scale = self._group.world_size / characters.clamp(min=1.0)  # DistributedDataParallel takes a mean
                (loss * scale).backward()
            norm = self._update.apply(rate)
        self._pending.append((loss.detach(), norm, characters))

    def read_steps(self) -> list[StepValues]:
        """Return the values of the steps since the last call, read in one copy; see `Engine.read_steps`."""
        pending, self._pending = self._pending, []
        if not pending:
            return []
        with as_resource_errors():
            columns = torch.stack([torch.stack(column) for column in zip(*pending, strict=True)])
            own_losses, all_norms, counts = columns.tolist()
        all_losses = self._group.all_reduce_sum(*own_losses)
        return [
            StepValues(loss / max(characters, 1.0), norm, characters)
            for loss, norm, characters in zip(all_losses, all_norms, counts, strict=True)
        ]

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        """Compute in the configured precision.

        oneDNN fails at an LSTM in bfloat16 on a CPU without AVX-512; PyTorch's own kernel replaces it there.
        """
        is_bfloat16, one_dnn = self._config.precision == "bfloat16", torch.backends.mkldnn
        before = one_dnn.enabled
        if is_bfloat16 and self._device.type == "cpu" and one_dnn.is_available():
            one_dnn.enabled = before and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        try:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=is_bfloat16):
                yield
        finally:
            one_dnn.enabled = before

    def _to_device(
        self, inputs: Ids, targets: Ids, weights: Array | None, output_masks: Sequence[torch.Tensor]
    ) -> DeviceWindow | BidirectionalWindow:
        """Copy a window of this rank's streams, (T, b), to the device."""
        network = self._network
        if isinstance(network, BidirectionalNetwork):
            return to_bidirectional_window(self._device, network, inputs, targets, weights, output_masks, self._tuning)
        window, _ = to_window(self._device, inputs, targets, weights, network, self._tuning)
        return window._replace(output_masks=output_masks)

    def _draw_masks(self, window: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Draw the dropout masks of a window, of the outputs of each layer and of its recurrent weights.

        They are those of the streams of all ranks, as one NumPy shard draws them: they do not depend on the ranks.
        """
        if not self._network.config.has_dropout:
            return [], []
        rng = np.random.default_rng([self._train.seed, 4, window, 0])
        stack = Stack(self._network.config, self._network.start)
        output_masks: list[torch.Tensor] = []
        weight_masks: list[torch.Tensor] = []
        for _ in range(2 if self._network.config.bidirectional else 1):
            of_outputs, of_weights = stack.draw_masks(rng, self._streams, Workspace(np.float32))
            output_masks += (copy_to(self._device, mask[self._own]) for mask in of_outputs)
            weight_masks += (copy_to(self._device, mask) for mask in of_weights)
        return output_masks, weight_masks

    @property
    def params(self) -> Parameters:
        """A copy of the weights; see `Engine.params`."""
        return self._network.parameters(flatten(self._weights))

    @property
    def average(self) -> Parameters:
        """A copy of the averaged weights; see `Engine.average`."""
        return self._network.parameters(flatten(self._averages))

    @property
    def evaluated(self) -> TorchEvaluator:
        """An evaluator with the averaged weights; see `Engine.evaluated`."""
        return TorchEvaluator(self._averaged, self._network, self._device, self._tuning)

    def has_finite_weights(self) -> bool:
        """Return whether all weights are finite; see `Engine.has_finite_weights`."""
        with as_resource_errors():
            return bool(total_norm([tensor.detach() for tensor in self._weights]).isfinite())

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all state; see `Engine.state_dict`."""
        state = self._network.zero_state(self._streams)
        with as_resource_errors():
            flats = {name: flatten(tensors) for name, tensors in self._update.tensors().items()}
            for index, layers in enumerate(self._state):
                for layer, own in zip(state, layers.cpu().numpy(), strict=True):
                    layer[index][self._own] = own
            if self._group.world_size > 1:  # every other rank adds zeros
                for array in (array for layer in state for array in layer):
                    distributed.all_reduce(torch.from_numpy(array))
        return {**flats, "optimizer_steps": self._update.steps, **state_to_dict(state)}

    def snapshot(self) -> dict[str, Any]:
        """Return copies of all state, on the device; see `Engine.snapshot`."""
        tensors = self._update.tensors()
        with as_resource_errors():
            copies = {name: [tensor.clone() for tensor in own] for name, own in tensors.items()}
            return {**copies, "optimizer_steps": self._update.steps, "state": tuple(own.clone() for own in self._state)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` or `snapshot` returned; see `Engine.load_state_dict`."""
        with as_resource_errors():
            for name, tensors in self._update.tensors().items():
                load(tensors, state[name])
        self._update.set_steps(state["optimizer_steps"])
        self._pending = []
        if "state" in state:
            self._state = tuple(own.clone() for own in state["state"])
            return
        arrays = self._network.zero_state(self._streams)
        load_state(arrays, state)
        self._set_state(arrays)

    def _set_state(self, state: NetworkState) -> None:
        """Copy the carried state of this rank's streams to the device."""
        by_index = zip(*state, strict=True)
        self._state = tuple(copy_to(self._device, np.stack([own[self._own] for own in arrays])) for arrays in by_index)

    def free_buffers(self) -> None:
        """Do nothing: PyTorch manages its buffers."""


def find_device(name: str, group: ProcessGroup) -> torch.device:
    """Return the device of this rank.

    Parameters
    ----------
    name : str
        "cuda", "mps" or "cpu"; "auto" takes the first of them that exists, but "mps" only for a single rank.

    Raises
    ------
    ResourceError
        If PyTorch finds no such device.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if has["cuda"] else "mps" if has["mps"] and group.world_size == 1 else "cpu"
    if not has[name]:
        raise ResourceError(f"`device` is {name!r}, and PyTorch finds no such device here; leave `device` out")
    return torch.device(name, group.local_rank) if name == "cuda" else torch.device(name)


def free_memory(device: torch.device) -> float | None:
    """Return the free bytes of a GPU of Nvidia or AMD; None for other devices."""
    with as_resource_errors():
        return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None
