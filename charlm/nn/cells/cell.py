"""What every recurrent cell offers to the network around it.

A cell is a recurrence over inputs that are already projected: z = W_ih x + b arrives as `zs`, computed for
a whole window at once, and the cell adds what depends on its own past. A state is (B, H), a row for each stream,
and so the equations stand transposed: h_prev @ W_hh^T. In a window the values of each gate lie together, (G, T, B, H),
so that a step handles a gate as one piece of memory.

The logistic sigmoid is a stretched tanh, sigmoid(z) = (1 + tanh(z/2)) / 2. The halving is folded into the
weights (`Cell.is_sigmoid_gate` names the gates), which is exact in binary floating point, so that one call of tanh
serves every gate of a step. Backward passes are derived for the unscaled z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from charlm.arrays import Array
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, aligned

State: TypeAlias = tuple[Array, ...]
"""What a cell carries from step to step: arrays (B, H), the hidden state h first."""


class Recurrence(NamedTuple):
    """The weights of one layer's recurrence, prepared for a window.

    matrix: W_hh as it is stored, (G*H, H).  factor: W_hh^T, (H, G*H), the columns of the halved gates halved.
    bias: what the cell adds inside its recurrence, (1, G*H), scaled; most cells have it in `zs` already.
    scale, shift: what tanh of each gate is multiplied by, and what is added, to make it a sigmoid where it is one,
    (1, G*H): the halves of `Cell.scale`, or 1 and 0.
    kept: what `for_each` has made.
    """

    matrix: Array
    factor: PackedMatrix
    bias: Array
    scale: Array
    shift: Array
    kept: dict[str, Array]

    def for_streams(self, streams: int) -> tuple[Array, Array]:
        """Return scale and shift for each stream, (G, B, H), to be read only."""
        return self.for_each("scale", self.scale, streams), self.for_each("shift", self.shift, streams)

    def for_each(self, name: str, row: Array, streams: int) -> Array:
        """Return what `name` is, (1, G*H), for each stream, (G, B, H), to be read only.

        It is a part of what was made for more: NumPy is slower where it repeats a row by itself.
        """
        gates = row.reshape(-1, 1, self.matrix.shape[1])
        if streams == 1:
            return gates
        found = self.kept.get(name)
        if found is None or found.shape[1] < streams:
            found = aligned((len(gates), streams, gates.shape[2]), row.dtype)
            found[...] = gates
            self.kept[name] = found
        return found[:, :streams]


class RecurrenceGrads(NamedTuple):
    """Where the gradients of one layer's recurrence go.

    matrix: of W_hh, (G*H, H).  bias: of b_hh, (G*H,); a cell writes those that it adds inside (`Cell.bias_in_input`).
    """

    matrix: Array
    bias: Array


Backward: TypeAlias = Callable[[Array, State | None, RecurrenceGrads], tuple[Array, State]]
"""backward(dhs, dlast, grads) -> dzs, dstate.

dhs: d loss / d hs, (T, B, H); it is overwritten.  dlast: d loss / d last state, None for zero.
grads: written.
dzs: d loss / d zs, (G, T, B, H), until the next window.  dstate: d loss / d first state.
"""


class Cell(ABC):
    """A recurrent cell. It has no weights of its own; it says how many there are and how they are used."""

    gates: ClassVar[int]
    """G: blocks of H rows in the weights."""
    is_sigmoid_gate: ClassVar[tuple[bool, ...]]
    """For each gate, whether it is a sigmoid (its z is halved on the way in)."""
    state_arrays: ClassVar[int] = 1
    """How many (B, H) arrays the state has."""
    torch_name: ClassVar[str | None] = None
    """The class in `torch.nn` that takes these weights; None where PyTorch has none."""
    torch_options: ClassVar[Mapping[str, str]] = {}
    """What that class is to be told."""

    def in_torch(self) -> str | None:
        """Return what takes these weights, such as "torch.nn.LSTM"; None where PyTorch has no such cell."""
        if self.torch_name is None:
            return None
        options = ", ".join(f"{name}={value!r}" for name, value in self.torch_options.items())
        return f"torch.nn.{self.torch_name}" + (f"({options})" if options else "")

    def scale(self, hidden: int, dtype: Any) -> Array:
        """Return what the rows of W_ih, W_hh and b are multiplied by on the way in, (1, G*H)."""
        factors = np.array([0.5 if is_sigmoid else 1.0 for is_sigmoid in self.is_sigmoid_gate], dtype)
        return np.repeat(factors, hidden)[None]

    def bias_in_input(self, hidden: int) -> int:
        """Return how many rows of b_hh, from the first, are added to `zs` along with b_ih; the rest stay inside."""
        return self.gates * hidden

    def initial_recurrence(self, rng: np.random.Generator, hidden: int) -> Array:
        """Draw W_hh: each gate's block is a random orthogonal matrix (Saxe et al. 2014, arXiv:1312.6120)."""
        return np.concatenate([orthogonal(rng, hidden) for _ in range(self.gates)])

    def initial_input(self, rng: np.random.Generator, hidden: int, inputs: int, *, is_one_hot: bool) -> Array:
        """Draw W_ih, (G*H, inputs): uniform in +-1/sqrt(H).  is_one_hot: whether one input is 1 and the others 0."""
        bound = 1 / np.sqrt(hidden)
        return rng.uniform(-bound, bound, (self.gates * hidden, inputs))

    def initial_bias(self, hidden: int) -> Array:
        """Return the start value of b_ih, (G*H,)."""
        return np.zeros(self.gates * hidden)

    @abstractmethod
    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[Array, State, Backward]:
        """Run the recurrence over a window.

        zs: projected inputs, (G, T, B, H), scaled; overwritten.  state: arrays (B, H).
        reset_mask: (T, B, 1), 0 where a stream starts anew before step t, 1 elsewhere; None if none does.
        Returns hs (T, B, H), the last state, and the closure that undoes the window.
        What is returned lives in `work` until the next window, the state excepted.
        """

    @abstractmethod
    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """Run one step, written as the equations are: z (B, G*H), scaled. Returns the state."""

    def stepper(self, weights: Recurrence, state: State) -> Callable[[Array], None]:
        """Return a function that moves `state`, contiguous arrays (B, H), on by a step, in place.

        It is given z of the gates apart, (G, B, H), scaled. A cell may do its work in arrays and views which are
        made here, once for all steps.
        """
        mover = self.mover(weights, state)
        if mover is None:

            def advance(z: Array) -> None:
                row = z.swapaxes(0, 1).reshape(z.shape[1], -1)
                for array, value in zip(state, self.step(weights, row, state), strict=True):
                    array[...] = value

            return advance
        total, move = mover
        multiply, h = weights.factor.into(total), state[0]

        def multiply_and_move(z: Array) -> None:
            multiply(h)
            np.add(total, z, total)
            move()

        return multiply_and_move

    def mover(self, weights: Recurrence, state: State) -> tuple[Array, Callable[[], None]] | None:
        """Return room for the sums z + W_hh h, (G, B, H), and a function that moves `state` on by what stands there.

        The product may then be one with all that the sums are of, [W_ih W_hh] [h_below h].
        None if a cell needs z and W_hh h apart.
        """
        return None


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    """Draw a (size, size) orthogonal matrix, uniform over all of them (Mezzadri 2007, math-ph/0609050)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    result: Array = q * np.sign(np.diagonal(r))
    return result


def parts(zs: Array, gates: int) -> list[Array]:
    """View a step (B, G*H) as the (B, H) of each of G gates."""
    hidden = zs.shape[1] // gates
    return [zs[:, gate * hidden : (gate + 1) * hidden] for gate in range(gates)]


def sigmoid_from_tanh(tanh_half: Array, half: Array | float = 0.5) -> None:
    """Turn tanh(z/2) into sigmoid(z), in place.  half: 0.5 as an array () takes NumPy less time than as a number."""
    np.multiply(tanh_half, half, tanh_half)
    np.add(tanh_half, half, tanh_half)


def spread(row: Array, like: Array, work: Workspace, name: str) -> Array:
    """Return a row (1, G*H) for each stream of a step (G, B, H): NumPy is slower where it repeats one by itself."""
    out = work.array(name, *like.shape)
    out[...] = row.reshape(len(like), 1, -1)
    return out


def apply_reset(array: Array, reset_mask: Array | None) -> Array:
    """Return a state sequence (T, B, H) as the steps saw it: zero where a stream started anew."""
    return array if reset_mask is None else array * reset_mask


def reset_steps(reset_mask: Array | None, steps: int) -> list[bool]:
    """For each step, whether any stream starts anew there."""
    return [False] * steps if reset_mask is None else [bool(row) for row in (reset_mask == 0).any(axis=(1, 2))]


def time_chunks(steps: int, features: int, streams: int) -> list[slice]:
    """Cut a window into runs of steps whose activations stay in a core's cache, last run first."""
    run = max(1, CACHED_VALUES // (features * streams))
    return [slice(start, min(start + run, steps)) for start in reversed(range(0, steps, run))]


CACHED_VALUES = 1 << 15
"""Values of one activation that a run of `time_chunks` holds."""
