"""The network as a module of PyTorch, which reads windows on a device.

One call of `torch.nn.LSTM` (`GRU`, `RNN`) reads all layers, unless outputs are dropped between them: charlm's mask of a
stream is the same at all steps of a window, and that of PyTorch is not. Then each layer is one call.

The state of a stream is reset where its input is EOS. `torch.nn.LSTM` cannot do that within a call, so a window is
cut: at a step where any stream is reset, into chunks of time, or at each reset of a stream, into packed segments. See
`segments.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence

from charlm.engines.segments import Segments
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import FORWARD, REVERSE

State = tuple[torch.Tensor, ...]
"""The state of all layers, (L, B, H) each."""


class DeviceWindow(NamedTuple):
    """A window on the device, N = T*B elements, step by step or in the order of the packed segments.

    Attributes
    ----------
    inputs, targets : tensor of int64, shape (N,)
    weights : tensor of shape (N,) or None
        Weight of each target in the loss.
    streams : tensor of int64, shape (N,), or None
        Stream of each element; None if there are no segments.
    segments : Segments or None
        Tensors on the device, but `sizes` on the CPU; None if the window is read in chunks.
    chunks : list of (slice, tensor or None)
        Steps of each chunk, and 0 where the state of a stream is reset at its start, else 1, (B, 1); None without
        resets. Empty if the window is read in segments.
    output_masks : sequence of tensor
        Dropout mask of the outputs of each layer, (B, H); empty without dropout.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None
    streams: torch.Tensor | None
    segments: Segments | None
    chunks: list[tuple[slice, torch.Tensor | None]]
    output_masks: Sequence[torch.Tensor] = ()


class BidirectionalWindow(NamedTuple):
    """A window of a bidirectional network on the device, N = T*B targets, step by step.

    Attributes
    ----------
    directions : sequence of DeviceWindow
        What each stack reads, in its direction.
    indices : sequence of tensor of int64, shape (N,)
        Index of each target in the outputs of each stack.
    targets, weights : tensor of shape (N,)
        As those of `DeviceWindow`.
    streams : int
        B.
    """

    directions: Sequence[DeviceWindow]
    indices: Sequence[torch.Tensor]
    targets: torch.Tensor
    weights: torch.Tensor | None
    streams: int


class Model(torch.nn.Module):
    """Recurrent layers in one module, or in one module each if there is dropout between them, and a `Linear` head.

    A bidirectional network has two such stacks, `stack` and `reverse`; its head reads the outputs of both.
    """

    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        config, cell = network.config, network.cell
        self.vocabulary, self.conditions = network.vocabulary, config.conditions
        self.inputs = self.vocabulary + self.conditions
        rnn = getattr(torch.nn, str(cell.torch_name))
        self.tied = config.tied
        self.layers_per_module = 1 if config.dropout else config.layers
        self.state_shape = config.layers, cell.state_arrays, config.hidden
        self.stack, self.reverse = (
            torch.nn.ModuleList(
                rnn(config.hidden if first or config.tied else self.inputs, config.hidden, self.layers_per_module,
                    **cell.torch_options)
                for first in range(0, layers, self.layers_per_module)
            )
            for layers in (config.layers, config.layers if config.bidirectional else 0)
        )  # fmt: skip
        self.head = torch.nn.Linear((1 + config.bidirectional) * config.hidden, network.outputs)
        self.layout = tuple(network.layout)

    def named_tensors(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters by their names in a model file, in its order."""
        named = {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}
        for stack, modules in ((FORWARD, self.stack), (REVERSE, self.reverse)):
            for index, module in enumerate(modules):
                for name, parameter in module.named_parameters():
                    kind, _, layer = name.rpartition("_l")
                    named[f"{stack}.{kind}_l{index * self.layers_per_module + int(layer)}"] = parameter
        return {name: named[name] for name in self.layout}

    def forward(self, window: DeviceWindow | BidirectionalWindow, state: State) -> tuple[torch.Tensor, State]:
        """Return the summed loss of a window, in nats, and the new state."""
        xs, new_state = self.read(window, state)
        logits, targets = self.head(xs).float(), window.targets
        if window.weights is None:
            return torch.nn.functional.cross_entropy(logits, targets, reduction="sum"), new_state
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        return torch.dot(losses, window.weights), new_state

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the first layer, (N, F): one-hot vectors, or rows of the tied output layer."""
        if self.tied:
            return torch.nn.functional.embedding(ids, self.head.weight)
        one_hot = torch.zeros(len(ids), self.inputs, device=ids.device)
        columns = ids[:, None]
        if self.conditions:
            columns = torch.stack([ids // self.conditions, self.vocabulary + ids % self.conditions], dim=1)
        return one_hot.scatter_(1, columns, 1.0)  # `one_hot` would check the ids, and wait for the device

    def read(self, window: DeviceWindow | BidirectionalWindow, state: State) -> tuple[torch.Tensor, State]:
        """Return the outputs of the last layer after dropout, (N, H) or (N, 2H) of two stacks, and the new state.

        A bidirectional network starts from a zero state, and carries none.
        """
        if isinstance(window, DeviceWindow):
            return self.read_stack(self.stack, window, state)
        layers, arrays, hidden = self.state_shape
        zero = (torch.zeros(layers, window.streams, hidden, device=window.targets.device),) * arrays
        halves = [
            self.read_stack(stack, own, zero)[0].index_select(0, indices)
            for stack, own, indices in zip((self.stack, self.reverse), window.directions, window.indices, strict=True)
        ]
        return torch.cat(halves, dim=1), ()

    def read_stack(self, stack: torch.nn.ModuleList, window: DeviceWindow, state: State) -> tuple[torch.Tensor, State]:
        """Return the outputs of the last layer of a stack after dropout, (N, H), and the new state."""
        xs = self.embed(window.inputs)
        parts: list[State] = []
        for index, module in enumerate(stack):
            first = index * self.layers_per_module
            carried = tuple(array[first : first + self.layers_per_module] for array in state)
            read = read_chunks if window.segments is None else read_segments
            xs, last = read(module, xs, window, carried)
            parts.append(last)
            if window.output_masks:
                xs = drop(xs, window.output_masks[index], window.streams)
        return xs, tuple(torch.cat(arrays).detach().float() for arrays in zip(*parts, strict=True))


def drop(xs: torch.Tensor, mask: torch.Tensor, streams: torch.Tensor | None) -> torch.Tensor:
    """Return outputs (N, H) times the mask (B, H) of their streams, (N,); None for step by step."""
    if streams is not None:
        return xs * mask[streams]
    return (xs.unflatten(0, (-1, len(mask))) * mask).flatten(0, 1)


@contextmanager
def drop_weights(weights: Sequence[torch.nn.Parameter], masks: Sequence[torch.Tensor]) -> Iterator[None]:
    """Multiply weights by masks for a forward and a backward pass, and their gradients at the end.

    The weights keep their memory, which cuDNN reads in one piece. No masks change nothing.
    """
    if not masks:
        yield
        return
    own = [weight.detach() for weight in weights]
    kept = [weight.clone() for weight in own]
    torch._foreach_mul_(own, list(masks))
    try:
        yield
    finally:
        torch._foreach_copy_(own, kept)
    torch._foreach_mul_([weight.grad for weight in weights], list(masks))


def run(module: torch.nn.Module, xs: Any, state: State) -> tuple[Any, State]:
    """Run the layers of a module over a sequence; return outputs and last state."""
    outputs, last = module(xs, state if len(state) > 1 else state[0])
    return outputs, last if isinstance(last, tuple) else (last,)


def read_segments(
    module: torch.nn.Module, xs: torch.Tensor, window: DeviceWindow, carried: State
) -> tuple[torch.Tensor, State]:
    """Read packed segments (N, F); only those that continue a stream start from its carried state."""
    segments = window.segments
    assert segments is not None
    first = tuple(array[:, segments.columns] * segments.carried for array in carried)
    outputs, last = run(module, PackedSequence(xs, segments.sizes), first)
    return outputs.data, tuple(array[:, segments.last] for array in last)


def read_chunks(
    module: torch.nn.Module, xs: torch.Tensor, window: DeviceWindow, carried: State
) -> tuple[torch.Tensor, State]:
    """Read a window (N, F) chunk by chunk; the state is reset at the first step of a chunk."""
    steps, outputs, last = xs.unflatten(0, (-1, carried[0].shape[1])), [], carried
    for chunk, reset_mask in window.chunks:
        first = tuple(array.float() if reset_mask is None else array.float() * reset_mask for array in last)
        hs, last = run(module, steps[chunk], first)
        outputs.append(hs)
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).flatten(0, 1), last
