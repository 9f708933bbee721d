"""The update of the weights on a device: clipping, the optimizers of PyTorch, the average."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from charlm.arrays import Array
from charlm.config import TrainConfig
from charlm.optim.adam import Adam
from charlm.optim.averaging import new_fraction
from charlm.optim.rmsprop import RMSprop
from charlm.optim.sgd import SGD

FUSED_DEVICES = ("cpu", "cuda")
"""Devices on which PyTorch updates all tensors in one kernel."""


class TorchOptimizer(NamedTuple):
    """An optimizer of PyTorch that equals one of `charlm.optim`.

    Attributes
    ----------
    name : str
        Its class in `torch.optim`.
    options : dict
        Its arguments.
    moments : dict of str to str
        Name of a moment in `charlm.optim` -> name in the state of PyTorch.
    is_fusable : bool
        Whether it has a fused form.
    """

    name: str
    options: dict[str, Any]
    moments: dict[str, str]
    is_fusable: bool


TORCH_OPTIMIZERS = {
    "adam": TorchOptimizer(
        "Adam", {"betas": (Adam.beta1, Adam.beta2), "eps": Adam.epsilon},
        {"mean": "exp_avg", "square": "exp_avg_sq"}, is_fusable=True,
    ),
    "rmsprop": TorchOptimizer(
        "RMSprop", {"alpha": RMSprop.decay, "eps": RMSprop.epsilon}, {"square": "square_avg"}, is_fusable=False
    ),
    "sgd": TorchOptimizer("SGD", {"momentum": SGD.momentum}, {"velocity": "momentum_buffer"}, is_fusable=True),
}  # fmt: skip
"""Name of an optimizer -> its form in PyTorch."""


class TorchUpdate:
    """Updates tensors on their device, without a wait for it.

    Parameters
    ----------
    params : sequence of Parameter
        The weights.
    average : sequence of tensor
        Their average; the weights themselves if `average` is 0 in the config.
    train : TrainConfig
        Optimizer, clipping and averaging.

    Attributes
    ----------
    steps : int
        Number of updates so far.
    """

    def __init__(
        self, params: Sequence[torch.nn.Parameter], average: Sequence[torch.nn.Parameter], train: TrainConfig
    ) -> None:
        self.steps = 0
        self._params, self._average, self._train = list(params), list(average), train
        self._form = TORCH_OPTIMIZERS[train.optimizer]
        device = self._params[0].device
        fused = {"fused": True} if self._form.is_fusable and device.type in FUSED_DEVICES else {}
        self._optimizer = getattr(torch.optim, self._form.name)(params, lr=0.0, **self._form.options, **fused)
        for tensor in self._params:
            moments = {name: torch.zeros_like(tensor) for name in self._form.moments.values()}
            self._optimizer.state[tensor] = {"step": torch.zeros((), device=device if fused else "cpu"), **moments}

    def apply(self, rate: float) -> torch.Tensor:
        """Clip the gradients, update the weights at a learning rate, and update the average.

        Returns
        -------
        tensor, shape ()
            The L2 norm of the gradients before clipping.
        """
        grads = [tensor.grad for tensor in self._params if tensor.grad is not None]
        norm = total_norm(grads)
        if self._train.clip:
            torch._foreach_mul_(grads, (self._train.clip / norm).clamp(max=1.0))
        self.steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        if self._train.average:
            decay = 1 - new_fraction(self._train.average, self.steps)
            get_ema_multi_avg_fn(decay)(self._average, self._params, None)
        return norm

    def tensors(self) -> dict[str, list[torch.Tensor]]:
        """Return the tensors of P values that are the state, in the order of the parameters, by their saved names."""
        states = [self._optimizer.state[tensor] for tensor in self._params]
        return {
            "params": [tensor.detach() for tensor in self._params],
            **({"average": [tensor.detach() for tensor in self._average]} if self._train.average else {}),
            **{f"moment.{name}": [state[own] for state in states] for name, own in self._form.moments.items()},
        }

    def set_steps(self, steps: int) -> None:
        """Set the number of updates so far."""
        self.steps = steps
        for state in self._optimizer.state.values():
            state["step"].fill_(steps)


def total_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the L2 norm of all values of the tensors, on their device."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))


def flatten(tensors: Iterable[torch.Tensor]) -> Array:
    """Return a copy of the values of all tensors in the memory of this process, (P,)."""
    flat: Array = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy()
    return flat


def load(tensors: Sequence[torch.Tensor], values: Array | Sequence[torch.Tensor]) -> None:
    """Overwrite tensors by what `flatten` returned, or by tensors of the same shapes."""
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(np.array(values, np.float32)).split([tensor.numel() for tensor in tensors])
    with torch.no_grad():
        for tensor, source in zip(tensors, values, strict=True):
            tensor.copy_(source.reshape(tensor.shape))
