"""The interface of a recurrent cell, and the loop over time, the same for all cells.

A cell is a recurrence over projected inputs: z = W_ih x + b arrives as `zs` for a whole window, and the cell adds what
depends on its previous state. A state is a tuple of arrays (B, H), one row per stream, so products are transposed:
h_prev @ W_hh^T. Gate values are (G, B, H) for a step and (G, T, B, H) for a window: each gate is one block of memory.

The logistic sigmoid is computed by tanh: sigmoid(z) = (1 + tanh(z/2)) / 2. The factor 1/2 inside is folded into the
weights of the sigmoid gates, which is exact in binary floating point. Backward passes are derived for the unscaled z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from charlm.arrays import Array
from charlm.kernels.packed_matrix import MatrixStack, PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning

State: TypeAlias = tuple[Array, ...]
"""What a cell carries from step to step: arrays (B, H), the hidden state h first."""


class StepArrays(NamedTuple):
    """The arrays of one step of a cell.

    previous: the state before the step.  gates: `Cell.gate_views` of an array (G, B, H), filled with gate values.
    state: filled with the state after the step; it may be `previous`.
    saved: (B, H) each, filled with what the backward pass needs in addition (`Cell.saved_arrays`).
    """

    previous: State
    gates: tuple[Array, ...]
    state: State
    saved: tuple[Array, ...]


Step: TypeAlias = Callable[[StepArrays, Array], None]
"""step(arrays, z): compute one step from its projected input z, (G, B, H), scaled; z may be the array of the gates."""

Backward: TypeAlias = Callable[[Array, State | None, "RecurrenceGrads"], tuple[Array, State]]
"""backward(dhs, dlast, grads) -> dzs, dstate.

dhs: d loss / d hs, (T, B, H); overwritten.  dlast: d loss / d last state; None for zero.  grads: overwritten.
dzs: d loss / d zs, (G, T, B, H), valid until the next window.  dstate: d loss / d first state.
"""


class Recurrence(NamedTuple):
    """The recurrent weights of one layer, prepared for products.

    matrix: W_hh as it is stored, (G*H, H).  packed: W_hh^T, (H, G*H), scaled by `Cell.scale`.
    packed may be a `MatrixStack` of K networks for K streams, and the bias then (K, G*H).
    bias: b_hh, (1, G*H), scaled; for cells that add a part of it themselves (`Cell.bias_in_input`).
    scale: `Cell.scale`, (1, G*H).
    """

    matrix: Array
    packed: PackedMatrix | MatrixStack
    bias: Array
    scale: Array

    def gate_scale(self, streams: int, tuning: NnTuning = DEFAULT_TUNING) -> Array:
        """Return the scale of each gate: (G, B, H), or (G, 1, 1) where NumPy then multiplies faster."""
        hidden = self.matrix.shape[1]
        scale = self.scale.reshape(-1, 1, hidden)
        return scale[:, :, :1] if streams * hidden >= tuning.min_broadcast_values else scale.repeat(streams, axis=1)


class RecurrenceGrads(NamedTuple):
    """Output arrays for the gradients of one layer's recurrent weights.

    matrix: of W_hh, (G*H, H).  bias: of b_hh, (G*H,); a cell writes the part that it adds itself.
    """

    matrix: Array
    bias: Array


class CellCache(NamedTuple):
    """The values of a forward pass over a window that its backward pass needs.

    gates: gate values, (G, T, B, H); the backward pass replaces them by dzs.
    states: (S, T + 1, B, H) for S arrays of a state; index t is the state before step t.
    saved: see `Step`, (`Cell.saved_arrays`, T, B, H).
    resets: step -> reset mask (B, 1) for each step before which a stream is reset.
    """

    gates: Array
    states: Array
    saved: Array
    resets: dict[int, Array]

    @property
    def hs(self) -> Array:
        """The hidden state after each step, (T, B, H)."""
        return self.states[0, 1:]

    def previous(self, index: int) -> Array:
        """Return array `index` of the state that each step starts from, resets applied, (T, B, H)."""
        previous = self.states[index, :-1]
        if self.resets:
            previous = previous.copy()
            for t, mask in self.resets.items():
                previous[t] *= mask
        return previous


class Cell(ABC):
    """A recurrent cell: its sizes, its initial weights and its equations. It holds no weights."""

    gates: ClassVar[int]
    """G, the number of blocks of H rows in the weights."""
    is_sigmoid_gate: ClassVar[tuple[bool, ...]]
    """For each gate, whether it is a sigmoid (its z is halved)."""
    state_arrays: ClassVar[int] = 1
    """S, the number of arrays (B, H) in a state."""
    saved_arrays: ClassVar[int] = 0
    """Number of arrays (B, H) that a step saves for the backward pass, besides gates and state."""
    gate_names: ClassVar[tuple[str, ...]] = ()
    """Name of each gate; empty for a cell without gates, whose step fills no gate values."""
    tuning: NnTuning = DEFAULT_TUNING
    """Length of the chunks of the backward pass."""
    torch_name: ClassVar[str | None] = None
    """Class in `torch.nn` with the same weights; None where PyTorch has none."""
    torch_options: ClassVar[Mapping[str, str]] = {}
    """Arguments of that class."""

    def in_torch(self) -> str | None:
        """Return the PyTorch class of this cell with its arguments, such as "torch.nn.LSTM"; None without one."""
        if self.torch_name is None:
            return None
        options = ", ".join(f"{name}={value!r}" for name, value in self.torch_options.items())
        return f"torch.nn.{self.torch_name}" + (f"({options})" if options else "")

    def scale(self, hidden: int, dtype: Any) -> Array:
        """Return the scale of the rows of W_ih, W_hh and b, (1, G*H): 1/2 for sigmoid gates, 1 for the others."""
        factors = np.array([0.5 if is_sigmoid else 1.0 for is_sigmoid in self.is_sigmoid_gate], dtype)
        return np.repeat(factors, hidden)[None]

    def bias_in_input(self, hidden: int) -> int:
        """Return how many rows of b_hh, from the first, are added to `zs` with b_ih; the cell adds the rest."""
        return self.gates * hidden

    def initial_recurrence(self, rng: np.random.Generator, hidden: int) -> Array:
        """Draw W_hh: a random orthogonal matrix for each gate (Saxe et al. 2014, arXiv:1312.6120)."""
        return np.concatenate([orthogonal(rng, hidden) for _ in range(self.gates)])

    def initial_input(self, rng: np.random.Generator, hidden: int, inputs: int, *, is_one_hot: bool) -> Array:
        """Draw W_ih, (G*H, inputs): uniform in +-1/sqrt(H).  is_one_hot: whether the inputs are one-hot vectors."""
        bound = 1 / np.sqrt(hidden)
        return rng.uniform(-bound, bound, (self.gates * hidden, inputs))

    def initial_bias(self, hidden: int) -> Array:
        """Return the initial value of b_ih, (G*H,)."""
        return np.zeros(self.gates * hidden)

    def gate_views(self, gates: Array) -> tuple[Array, ...]:
        """Return the views of a step's gates, (G, B, H), that the equations use: by default all gates, then each."""
        return (gates, *gates)

    @abstractmethod
    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equations of one step, for B = `streams`, with buffers in `work`.

        Training and inference both call this function.
        """

    @abstractmethod
    def backward(
        self,
        weights: Recurrence,
        cache: CellCache,
        work: Workspace,
        dhs: Array,
        dlast: State | None,
        grads: RecurrenceGrads,
    ) -> tuple[Array, State]:
        """Back-propagate through a window: see `Backward`."""

    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[CellCache, Backward]:
        """Run the recurrence over a window.

        zs: projected inputs, (G, T, B, H), scaled; overwritten.  state: the state before the window.
        reset_mask: (T, B, 1), 0 where a stream is reset before step t, 1 elsewhere; None without resets.
        Returns the values of the window and its backward pass; both are valid until the next window in `work`.
        """
        _, steps, streams, hidden = zs.shape
        states = work.array("states", self.state_arrays, steps + 1, streams, hidden)
        saved = work.array("saved", self.saved_arrays, steps, streams, hidden)
        cache = CellCache(zs, states, saved, {} if reset_mask is None else reset_steps(reset_mask))
        states[:, 0] = state
        step = self.make_step(weights, streams, work)
        by_step = states.swapaxes(0, 1)
        for t, (z, previous, following, extra) in enumerate(
            zip(zs.swapaxes(0, 1), by_step[:-1], by_step[1:], saved.swapaxes(0, 1), strict=True)
        ):
            if t in cache.resets:
                previous = previous * cache.resets[t]
            step(StepArrays(tuple(previous), self.gate_views(z), tuple(following), tuple(extra)), z)
        return cache, partial(self.backward, weights, cache, work)

    def advancer(self, weights: Recurrence, state: State, work: Workspace) -> Callable[[Array], None]:
        """Return a function that advances `state`, contiguous arrays (B, H), in place by one step.

        The function takes the projected input of the step, (G, B, H), scaled, and leaves it unchanged.
        It keeps its buffers and scratch in `work`. Most cells compute W_hh h_prev in the array `gates` of `work`: the
        gate values then replace it, which saves memory traffic.
        """
        h = state[0]
        gates, saved = work.array("gates", self.gates, *h.shape), work.array("saved", self.saved_arrays, *h.shape)
        return partial(
            self.make_step(weights, len(h), work), StepArrays(state, self.gate_views(gates), state, tuple(saved))
        )


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    """Draw a (size, size) orthogonal matrix from the uniform (Haar) distribution (Mezzadri 2007, math-ph/0609050)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    result: Array = q * np.sign(np.diagonal(r))
    return result


def gate_activation(scale: Array) -> Callable[[Array], None]:
    """Return a function that turns the scaled z of gates, (G, B, H), into gate values, in place.

    scale: see `Recurrence.gate_scale`.
    The gate values are scale * tanh(z) + 1 - scale: sigmoid(2z) for scale 1/2 and tanh(z) for scale 1.
    """
    shift = 1 - scale

    def activate(z: Array) -> None:
        np.tanh(z, z)
        np.multiply(z, scale, z)
        np.add(z, shift, z)

    return activate


def reset_steps(reset_mask: Array) -> dict[int, Array]:
    """Return step -> mask (B, 1) for the steps of `reset_mask`, (T, B, 1), that reset a stream."""
    return {t: reset_mask[t] for t in np.flatnonzero((reset_mask == 0).any(axis=(1, 2))).tolist()}


def time_chunks(steps: int, values: int, tuning: NnTuning) -> list[slice]:
    """Split a window into chunks of steps for the backward pass, the last chunk first.

    values: values of one activation in a step.
    """
    length = max(1, tuning.max_chunk_values // values)
    return [slice(start, min(start + length, steps)) for start in reversed(range(0, steps, length))]
