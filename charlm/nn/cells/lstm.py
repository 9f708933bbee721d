"""The LSTM cell, with update (i), forget (f) and output (o) gates.

Source: Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000. Gate order i f g o, as in
`torch.nn.LSTM`. In the words of the course: i is the update gate, g the candidate c~.

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)          z = W_ih x + W_hh h + b
    g       = tanh(z_g)
    c       = f * c_prev + i * g
    h       = o * tanh(c)

Memory of a window: 6 T B H values a layer, and 6 more for a run of steps (`time_chunks`) on the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.kernels.blas import has_slow_tanh
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import (
    Backward,
    Cell,
    Recurrence,
    RecurrenceGrads,
    State,
    apply_reset,
    parts,
    reset_steps,
    sigmoid_from_tanh,
    time_chunks,
)

MANY = 1 << 13
"""Values of all gates from which on it is their number that takes time, and not the calls of NumPy."""
QUIET = np.errstate(over="ignore")
"""For what uses `gate_activation`: its exp may overflow, to the right value in the end."""
TINY = 1e-30
"""Added to an o before something is divided by it: an o may be 0, and is far greater if not."""


class LSTM(Cell):
    """Long short-term memory; its state is (h, c)."""

    gates = 4
    is_sigmoid_gate = (True, True, False, True)
    state_arrays = 2
    torch_name = "LSTM"

    def initial_bias(self, hidden: int) -> Array:
        """Start with open forget gates: bias 1 (Jozefowicz et al. 2015)."""
        bias = np.zeros(4 * hidden)
        bias[hidden : 2 * hidden] = 1.0
        return bias

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        h_prev, c_prev = state
        a = weights.factor.times(h_prev)
        a += z
        np.tanh(a, out=a)
        a *= weights.scale  # and now i, f and o are sigmoids
        a += weights.shift
        i, f, g, o = parts(a, 4)
        c = f * c_prev
        c += i * g
        h = np.tanh(c)
        h *= o
        return h, c

    def mover(self, weights: Recurrence, state: State) -> tuple[Array, Callable[[], None]]:
        """As in `Cell.mover`."""
        h, c = state
        work = Workspace(h.dtype)
        gates = work.array("gates", 4, *h.shape)
        room = StepBuffers(gate_activation(weights, gates), work.array("ig", *h.shape), work.array("tanh_c", *h.shape))
        i, f, g, o = gates
        move = partial(move_on, gates, i, f, g, o, c, c, h, room)
        return gates, QUIET(move) if are_by_exp(gates) else move

    @QUIET
    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[Array, State, Backward]:
        """A window, as in `Cell.forward`."""
        _, steps, streams, hidden = zs.shape
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        cs = work.array("cs", steps + 1, streams, hidden)
        z = work.array("z", 4, streams, hidden)
        room = StepBuffers(
            gate_activation(weights, z), work.array("ig", streams, hidden), work.array("tanh_c", streams, hidden)
        )
        hs[0], cs[0] = state
        resets = reset_steps(reset_mask, steps)
        multiply = weights.factor.into(z)
        for t, (a, i, f, g, o, h_prev, c_prev, c, h) in enumerate(
            zip(zs.swapaxes(0, 1), *zs, hs, cs, cs[1:], hs[1:], strict=False)
        ):
            if resets[t] and reset_mask is not None:
                h_prev, c_prev = h_prev * reset_mask[t], c_prev * reset_mask[t]
            multiply(h_prev)
            np.add(a, z, out=a)
            move_on(a, i, f, g, o, c_prev, c, h, room)
        last = (hs[steps].copy(), cs[steps].copy())

        def backward(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward_window(weights, zs, hs, cs, reset_mask, dhs, dlast, grads, work)

        return hs[1:], last, backward


def are_by_exp(values: Array) -> bool:
    """Return whether so many gates are computed by exp."""
    return values.size >= MANY and has_slow_tanh()


def gate_activation(weights: Recurrence, z: Array) -> Callable[[Array], None]:
    """Return a function that turns z of all gates, such as `z`, (4, B, H), scaled, into their values, in place.

    They are scale * tanh(z) + shift, see `Recurrence`: sigmoids, but for g.
    Where tanh is slow, it is computed as 1 - 2 scale / (1 + exp(2z)): the same, as scale + shift is 1.
    """
    if are_by_exp(z):
        twice = 2 * weights.for_streams(z.shape[1])[0]

        def by_exp(z: Array) -> None:
            np.add(z, z, z)
            np.exp(z, z)
            np.add(z, 1, z)
            np.divide(twice, z, z)
            np.subtract(1, z, z)

        return by_exp
    if z.size < MANY:
        scale, shift = weights.for_streams(z.shape[1])

        def in_few_calls(z: Array) -> None:
            np.tanh(z, z)
            np.multiply(z, scale, z)
            np.add(z, shift, z)

        return in_few_calls
    half = np.array(0.5, z.dtype)

    def by_tanh(z: Array) -> None:
        np.tanh(z, z)
        sigmoid_from_tanh(z[:2], half)  # i and f
        sigmoid_from_tanh(z[3], half)  # o

    return by_tanh


class StepBuffers(NamedTuple):
    """What a step needs beside the state: what `gate_activation` returns, and room to work in."""

    squash: Callable[[Array], None]
    ig: Array
    tanh_c: Array


def move_on(
    gates: Array, i: Array, f: Array, g: Array, o: Array, c_prev: Array, c: Array, h: Array, room: StepBuffers
) -> None:
    """Fill c and h, (B, H), from c_prev and z + W_hh h_prev, which is replaced by the gates.

    gates: (4, B, H), and its views i, f, g and o.
    """
    squash, ig, tanh_c = room
    squash(gates)  # and now they are what they are called
    np.multiply(f, c_prev, c)
    np.multiply(i, g, ig)
    np.add(c, ig, c)
    np.tanh(c, tanh_c)
    np.multiply(o, tanh_c, h)


def backward_window(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    cs: Array,
    reset_mask: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Backward a window of `LSTM.forward`, see `Backward`.

    gates: i f g o of every step, (4, T, B, H); replaced by dz.  hs, cs: (T + 1, B, H).

    Given dh and dc of a step, with * elementwise,
        d o = dh * tanh(c)                    dz_o = dh * [tanh(c) o (1 - o)]
        d c = dc + dh * [o (1 - tanh(c)^2)]   dz_i = dc * [g i (1 - i)]
        d c_prev = dc * f                     dz_f = dc * [c_prev f (1 - f)]
                                              dz_g = dc * [i (1 - g^2)]
    What stands in brackets does not depend on the recurrence, and is computed for a run of steps at once.
    """
    _, steps, streams, hidden = gates.shape
    dh, dc, dc_prev = (work.array(name, streams, hidden) for name in ("dh", "dc", "dc_prev"))
    dc_from_h = work.array("dc_from_h", streams, hidden)
    dh[...], dc[...] = (0, 0) if dlast is None else dlast
    multiply = PackedMatrix(weights.matrix, work).sum_into(dh, 4)
    resets = reset_steps(reset_mask, steps)
    c_ins = apply_reset(cs[:-1], reset_mask)
    for span in time_chunks(steps, hidden, streams):
        to_z, h_to_c = local_derivatives(gates[:, span], c_ins[span], hs[1:][span], work)
        dzs, local = gates[:, span].swapaxes(0, 1), to_z.swapaxes(0, 1)
        for t, dh_t, f, dz, dz_ifg, dz_o, to_ifg, to_o, to_c in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            dzs[::-1, 1],  # where dz_f will stand
            dzs[::-1],
            dzs[::-1, :3],
            dzs[::-1, 3],
            local[::-1, :3],
            local[::-1, 3],
            h_to_c[::-1],
            strict=True,
        ):
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, to_c, out=dc_from_h)  # undoes h = o * tanh(c)
            np.add(dc, dc_from_h, out=dc)
            np.multiply(dc, f, out=dc_prev)  # undoes f * c_prev
            np.multiply(dc, to_ifg, out=dz_ifg)  # undoes c = f * c_prev + i * g, and the gates
            np.multiply(dh, to_o, out=dz_o)  # undoes h = o * tanh(c), and the output gate
            dc, dc_prev = dc_prev, dc
            multiply(dz)  # undoes W_hh h
            if resets[t] and reset_mask is not None:
                dh *= reset_mask[t]
                dc *= reset_mask[t]
    write_gradient(gates, apply_reset(hs[:-1], reset_mask), grads.matrix, work)
    return gates, (dh.copy(), dc.copy())


def local_derivatives(gates: Array, c_ins: Array, hs: Array, work: Workspace) -> tuple[Array, Array]:
    """Compute the brackets of `backward_window` for a run of n steps.

    gates: (4, n, B, H).  c_ins: c before each step, hs: h behind it, (n, B, H).
    Returns d/dz of each gate (4, n, B, H), and o (1 - tanh(c)^2) (n, B, H).
    """
    to_z = work.scratch("to_z", *gates.shape)
    h_to_c, part = (work.scratch(name, *hs.shape) for name in ("h_to_c", "part"))
    i, f, g, o = gates
    to_i, to_f, to_g, to_o = to_z
    np.multiply(i, g, out=to_i)
    np.multiply(to_i, g, out=part)
    np.subtract(i, part, out=to_g)  # i - i g^2
    np.multiply(to_i, i, out=part)
    to_i -= part  # g i - g i^2
    np.multiply(c_ins, f, out=to_f)
    np.multiply(to_f, f, out=part)
    to_f -= part  # c_prev f - c_prev f^2
    np.multiply(hs, o, out=part)
    np.subtract(hs, part, out=to_o)  # h - h o, where h = tanh(c) o
    np.add(o, TINY, out=part)
    np.divide(hs, part, out=part)  # tanh(c): cheaper than to compute it again, or to keep it
    part *= hs
    np.subtract(o, part, out=h_to_c)  # o - o tanh(c)^2
    return to_z, h_to_c
