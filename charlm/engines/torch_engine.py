"""The PyTorch engine: a window on a device, or the streams of one rank under torchrun.

The parameters remain the flat vector of charlm. They are copied to the modules before each window, and the gradient is
copied back. Clipping, optimizer, average and files are those of charlm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from charlm.arrays import Array, Ids
from charlm.config import EngineConfig, TrainConfig
from charlm.engines.engine import load_state, state_to_dict
from charlm.engines.process_group import ProcessGroup
from charlm.engines.segments import Segments, cut_into_chunks, cut_into_segments
from charlm.engines.torch_group import as_resource_errors
from charlm.engines.torch_model import DeviceWindow, Model, State
from charlm.engines.tuning import DEFAULT_TUNING, EngineTuning
from charlm.errors import ConfigError, ResourceError
from charlm.kernels.workspace import Workspace
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layout import Parameters
from charlm.nn.stack import Stack


class TorchEngine:
    """An `Engine` on PyTorch; use as a context, inside that of its process group.

    Parameters
    ----------
    network : BaseNetwork
        The network to train.
    params : Parameters
        Initial parameters, trained in place.
    streams : int
        Number of streams B of all ranks together.
    config : EngineConfig
        Device and precision.
    train : TrainConfig
        Number of threads, and the seed of the dropout masks.
    group : ProcessGroup
        The ranks, which read a slice of the streams each.

    Raises
    ------
    ConfigError
        If there are fewer streams than ranks.
    """

    grads: Array
    _state: list[State]

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
        self.params, self.characters = params, 0.0
        self._network, self._streams, self._config, self._train = network, streams, config, train
        self._group, self._tuning = group, tuning
        self._own = group.local_slice(streams)

    def __enter__(self) -> TorchEngine:
        """Build the modules on the device.

        Raises
        ------
        ResourceError
            If this machine has no such device, or too little memory.
        """
        self.grads = np.zeros_like(self.params.flat)
        self._device = find_device(self._config.device, self._group)
        torch.set_num_threads(self._train.threads)
        with as_resource_errors():
            self._model = Model(self._network).to(self._device)
            self._tensors = self._model.named_tensors()
            is_alone = self._group.world_size == 1
            self._run: Callable[..., Any] = self._model if is_alone else DistributedDataParallel(self._model)
        self._set_state(self._network.zero_state(self._streams))
        return self

    def __exit__(self, *_: object) -> None:
        """Free the modules, and so the reference of DistributedDataParallel to the process group."""
        del self._run, self._model, self._tensors

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Backpropagate through this rank's streams (T, b) of a window; see `Engine.loss_and_grads`."""
        group = self._group
        (self.characters,) = group.all_reduce_sum(inputs.size if weights is None else float(weights.sum()))
        with as_resource_errors():
            for name, tensor in self._tensors.items():
                tensor.data.copy_(torch.from_numpy(self.params[name]))
            self._model.zero_grad(set_to_none=True)
            with self._autocast():
                loss, self._state = self._run(self._to_window(inputs, targets, weights, window), self._state)
            scale = group.world_size / max(self.characters, 1.0)  # DistributedDataParallel takes the mean over ranks
            (loss * scale).backward()
            grads = self._network.parameters(self.grads)
            for name, tensor in self._tensors.items():
                if tensor.grad is not None:
                    grads[name][...] = tensor.grad.cpu().numpy()
        return group.all_reduce_sum(float(loss.detach()))[0] / max(self.characters, 1.0)

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

    def _to_window(self, inputs: Ids, targets: Ids, weights: Array | None, window: int) -> DeviceWindow:
        """Copy a window (T, b) to the device, cut into chunks or segments, with its dropout masks."""
        start, streams = self._network.start, inputs.shape[1]
        chunks = cut_into_chunks(inputs, start, self._tuning.min_steps_per_chunk)
        order, segments = np.arange(inputs.size), None
        if not chunks:
            cut = cut_into_segments(inputs, start)
            order = cut.order
            segments = Segments(*map(self._to_device, cut))._replace(sizes=torch.from_numpy(cut.sizes))
        # masks of the streams of all ranks, as one NumPy shard draws them: they do not depend on the ranks
        rng = np.random.default_rng([self._train.seed, 4, window, 0])
        stack = Stack(self._network.config, start)
        output_masks, weight_masks = stack.draw_masks(rng, self._streams, Workspace(np.float32))
        return DeviceWindow(
            inputs=self._to_device(inputs.ravel()[order]),
            targets=self._to_device(targets.ravel()[order]),
            weights=None if weights is None else self._to_device(weights.ravel()[order]),
            streams=self._to_device(order % streams),
            segments=segments,
            chunks=chunks,
            reset_mask=self._to_device((inputs != start)[:, :, None].astype(np.float32)),
            output_masks=[self._to_device(mask[self._own]) for mask in output_masks],
            weight_masks=[self._to_device(mask) for mask in weight_masks],
        )

    def _to_device(self, array: Any) -> torch.Tensor:
        """Return a copy of an array on the device."""
        return torch.from_numpy(np.array(array, order="C")).to(self._device)

    def _set_state(self, state: NetworkState) -> None:
        self._state = [tuple(self._to_device(array[self._own]) for array in layer) for layer in state]

    def state_dict(self) -> dict[str, Array]:
        """Return the carried state of the streams of all ranks; see `Engine.state_dict`."""
        state = self._network.zero_state(self._streams)
        for layer, own_layer in zip(state, self._state, strict=True):
            for array, own in zip(layer, own_layer, strict=True):
                array[self._own] = own.cpu().numpy()
                if self._group.world_size > 1:  # every other rank adds zeros
                    with as_resource_errors():
                        distributed.all_reduce(torch.from_numpy(array))
        return state_to_dict(state)

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Set the carried state of this rank's streams; see `Engine.load_state_dict`."""
        state = self._network.zero_state(self._streams)
        load_state(state, arrays)
        self._set_state(state)

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
    device = torch.device(name, group.local_rank) if name == "cuda" else torch.device(name)
    if name == "cuda":
        torch.cuda.set_device(device)
    return device
