"""The network as a module of PyTorch, and the windows that it reads.

The state of a stream is reset where its input is EOS. `torch.nn.LSTM` cannot do that within a call, so a window is
cut: at a step where any stream is reset, into chunks of time, or at each reset of a stream, into packed segments. See
`segments.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence

from charlm.engines.segments import Segments
from charlm.nn.base import BaseNetwork

State = tuple[torch.Tensor, ...]
"""The state of a layer, (B, H) each."""


class DeviceWindow(NamedTuple):
    """A window on the device, N = T*B elements, step by step or in the order of the packed segments.

    Attributes
    ----------
    inputs, targets : tensor of int64, shape (N,)
    weights : tensor of shape (N,) or None
        Weight of each target in the loss.
    streams : tensor of int64, shape (N,)
        Stream of each element.
    segments : Segments or None
        Tensors on the device, but `sizes` on the CPU; None if the window is read in chunks.
    chunks : list of slice
        Steps of each chunk; empty if the window is read in segments.
    reset_mask : tensor of shape (T, B, 1)
        0 where the state of a stream is reset, else 1.
    output_masks, weight_masks : list of tensor
        Dropout masks of each layer, (B, H) and (G*H, H); empty without that dropout.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None
    streams: torch.Tensor
    segments: Segments | None
    chunks: list[slice]
    reset_mask: torch.Tensor
    output_masks: list[torch.Tensor]
    weight_masks: list[torch.Tensor]


class Model(torch.nn.Module):
    """A stack of `torch.nn.LSTM`, `GRU` or `RNN` of one layer each, with dropout between, and a `Linear` head."""

    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        self.vocabulary = network.vocabulary
        hidden, cell = network.config.hidden, network.cell
        rnn = getattr(torch.nn, str(cell.torch_name))
        self.tied = network.config.tied
        self.stack = torch.nn.ModuleList(
            rnn(hidden if layer or self.tied else network.vocabulary, hidden, **cell.torch_options)
            for layer in range(network.config.layers)
        )
        self.head = torch.nn.Linear(hidden, network.outputs)

    def named_tensors(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters by their names in a model file."""
        named = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        for layer, rnn in enumerate(self.stack):
            for name, parameter in rnn.named_parameters():
                named[f"rnn.{name.removesuffix('_l0')}_l{layer}"] = parameter
        return named

    def forward(self, window: DeviceWindow, state: Sequence[State]) -> tuple[torch.Tensor, list[State]]:
        """Return the summed loss of a window, in nats, and the new state of each layer."""
        if self.tied:
            xs = torch.nn.functional.embedding(window.inputs, self.head.weight)
        else:
            xs = torch.nn.functional.one_hot(window.inputs, self.vocabulary).to(self.head.weight.dtype)
        new_state: list[State] = []
        for layer, (rnn, carried) in enumerate(zip(self.stack, state, strict=True)):
            replaced = {}
            if window.weight_masks:
                replaced["weight_hh_l0"] = rnn.get_parameter("weight_hh_l0") * window.weight_masks[layer]
            run = partial(run_layer, rnn, replaced)
            if window.segments is not None:
                xs, last = run_segments(run, xs, window.segments, carried)
            else:
                xs, last = run_chunks(run, xs, window, carried)
            new_state.append(tuple(array.detach().float() for array in last))
            if window.output_masks:
                xs = xs * window.output_masks[layer][window.streams]
        losses = torch.nn.functional.cross_entropy(self.head(xs).float(), window.targets, reduction="none")
        return (losses if window.weights is None else losses * window.weights).sum(), new_state


def run_layer(rnn: torch.nn.Module, weights: Mapping[str, torch.Tensor], xs: Any, state: State) -> tuple[Any, State]:
    """Run a layer over a sequence, with `weights` instead of its parameters; return outputs and last state."""
    states = tuple(array[None] for array in state)  # of the one layer of the module
    arguments = (xs, states if len(states) > 1 else states[0])
    outputs, last = torch.func.functional_call(rnn, weights, arguments) if weights else rnn(*arguments)
    return outputs, tuple(array[0] for array in (last if isinstance(last, tuple) else (last,)))


Run = Callable[[Any, State], tuple[Any, State]]


def run_segments(run: Run, xs: torch.Tensor, segments: Segments, carried: State) -> tuple[torch.Tensor, State]:
    """Run a layer over packed segments (N, H); only those that continue a stream start from its carried state."""
    first = tuple(array[segments.columns] * segments.carried for array in carried)
    outputs, last = run(PackedSequence(xs, segments.sizes), first)
    return outputs.data, tuple(array[segments.last] for array in last)


def run_chunks(run: Run, xs: torch.Tensor, window: DeviceWindow, carried: State) -> tuple[torch.Tensor, State]:
    """Run a layer over a window (N, H) chunk by chunk; the state is reset at the first step of a chunk."""
    steps, outputs, last = xs.unflatten(0, (len(window.reset_mask), -1)), [], carried
    for chunk in window.chunks:
        first = tuple(array.float() * window.reset_mask[chunk.start] for array in last)
        hs, last = run(steps[chunk], first)
        outputs.append(hs)
    return torch.cat(outputs).flatten(0, 1), last
