"""The GRU cell, in PyTorch's variant: the reset (relevance) gate acts behind the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078; the variant is that of `torch.nn.GRU` and cuDNN. Gate order r z n.
In the words of the course: r is the relevance gate, n the candidate c~, and its update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h + b_r), sigmoid(z_z + W_z h + b_z)
    q    = W_n h + b_n
    n    = tanh(z_n + r * q)
    h    = (1 - z) * n + z * h_prev

Memory of a window: 7 T B H values a layer, and 4 more for a run of steps (`spans`) on the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.cell import (
    Cell,
    Recurrence,
    RecurrenceGrads,
    State,
    Undo,
    parts,
    restart,
    restarting_steps,
    sigmoid_of_halved,
    spans,
    spread,
    write_gradient,
)
from charlm.nn.factor import Factor
from charlm.nn.workspace import Workspace


class GRU(Cell):
    """Gated recurrent unit; its state is (h,)."""

    gates = 3
    halved = (True, True, False)
    torch_name = "GRU"

    def bias_in_input(self, hidden: int) -> int:
        """b_n stays inside: the reset gate multiplies it."""
        return 2 * hidden

    def step(self, weights: Recurrence, z: Array, state: State) -> State:
        """One step, as in `Cell.step`."""
        (h_prev,) = state
        hidden = h_prev.shape[1]
        u = weights.factor.times(h_prev)
        gates = u[:, : 2 * hidden]
        gates += z[:, : 2 * hidden]
        np.tanh(gates, out=gates)
        sigmoid_of_halved(gates)
        r, update, q = parts(u, 3)
        q += weights.bias[:, 2 * hidden :]
        q *= r
        q += z[:, 2 * hidden :]
        n = np.tanh(q, out=q)
        h = h_prev - n
        h *= update
        h += n
        return (h,)

    def stepper(self, weights: Recurrence, state: State) -> Callable[[Array], None]:
        """As in `Cell.stepper`."""
        (h,) = state
        streams, hidden = h.shape
        work = Workspace(h.dtype)
        u, a = (work.array(name, streams, 3 * hidden) for name in ("u", "a"))
        q, rq = (work.array(name, streams, hidden) for name in ("q", "rq"))
        rz, (r, z_gate, n) = a[:, : 2 * hidden], parts(a, 3)
        room = Room.make(weights, u, work)
        multiply = weights.factor.into(u)

        def advance(z: Array) -> None:
            multiply(h)
            np.copyto(a, z)
            move_on(a, rz, r, z_gate, n, h, q, rq, h, room)

        return advance

    def forward(
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        steps, streams, columns = zs.shape
        hidden = columns // 3
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        us = work.array("us", steps, streams, columns)
        u = work.array("u", streams, columns)
        hs[0] = state[0]
        restarts = restarting_steps(keep, steps)
        multiply = weights.factor.into(u)
        room = Room.make(weights, u, work)
        for t, (a, rz, r, z, n, q, h_prev, h) in enumerate(
            zip(zs, zs[:, :, : 2 * hidden], *parts(zs, 3), us[:, :, 2 * hidden :], hs, hs[1:], strict=False)
        ):
            if restarts[t] and keep is not None:
                h_prev = h_prev * keep[t]
            multiply(h_prev)
            move_on(a, rz, r, z, n, h_prev, q, h, h, room)
        last = (hs[steps].copy(),)

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward(weights, zs, us, hs, keep, dhs, dlast, grads, work)

        return hs[1:], last, undo


class Room(NamedTuple):
    """What a step needs beside the state: W_hh h_prev as r and z have it, and n; the rest as in `Recurrence`."""

    u_rz: Array
    u_n: Array
    scale: Array
    shift: Array
    bias_n: Array

    @classmethod
    def make(cls, weights: Recurrence, u: Array, work: Workspace) -> Room:
        """Make it in `work`.  u: where W_hh h_prev will stand, (B, 3*H)."""
        streams, columns = u.shape
        scale = spread(weights.scale, streams, work, "scale")
        shift = spread(weights.shift, streams, work, "shift")
        bias_n = spread(weights.bias[:, columns // 3 * 2 :], streams, work, "bias_n")
        return cls(u[:, : columns // 3 * 2], u[:, columns // 3 * 2 :], scale, shift, bias_n)


def move_on(
    gates: Array,
    rz: Array,
    r: Array,
    z: Array,
    n: Array,
    h_prev: Array,
    q: Array,
    rq: Array,
    h: Array,
    room: Room,
) -> None:
    """Fill q and h, (B, H), from h_prev and the projected input, which is replaced by the gates.

    gates: (B, 3*H), and its views rz (r and z), r, z and n.  rq: room for r * q; h, where that is not h_prev.
    """
    u_rz, u_n, scale, shift, bias_n = room
    np.add(rz, u_rz, out=rz)
    np.tanh(rz, out=rz)
    np.multiply(gates, scale, out=gates)  # and now r and z are sigmoids; z_n is as it was
    np.add(gates, shift, out=gates)
    np.add(u_n, bias_n, out=q)
    np.multiply(r, q, out=rq)
    np.add(n, rq, out=n)
    np.tanh(n, out=n)
    np.subtract(h_prev, n, out=h)
    np.multiply(z, h, out=h)
    np.add(n, h, out=h)


def backward(
    weights: Recurrence,
    gates: Array,
    us: Array,
    hs: Array,
    keep: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Undo a window of `GRU.forward`, see `Undo`.

    gates: r z n of every step, (T, B, 3*H); replaced by dz.  us: the same shape, whose last third is q; filled by du.

    Given dh of a step, with * elsewhere elementwise,
        dz_n = dh * [(1 - z) (1 - n^2)]         du_n = dz_n r
        dz_z = dh * [(h_prev - n) z (1 - z)]    du_z = dz_z
        dz_r = dz_n q r (1 - r)                 du_r = dz_r
        dh_prev = dh * z + W_hh^T du
    What stands in brackets, and every product with it, is computed for a run of steps at once.
    """
    steps, streams, columns = gates.shape
    hidden = columns // 3
    dh, through_z = (work.array(name, streams, hidden) for name in ("dh", "through_z"))
    dh[...] = 0 if dlast is None else dlast[0]
    multiply = Factor(weights.matrix, work).into(dh)
    restarts = restarting_steps(keep, steps)
    h_ins = restart(hs[:-1], keep)
    _, zs, ns = parts(gates, 3)
    qs = parts(us, 3)[2]
    for span in spans(steps, hidden, streams):
        to_u, to_n = local_derivatives(gates[span], h_ins[span], qs[span], work)
        by_gate = (span.stop - span.start, streams, 3, hidden)
        for t, dh_t, du, du_gates, local, z in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            us[span][::-1],
            us[span].reshape(by_gate)[::-1],
            to_u.reshape(by_gate)[::-1],
            zs[span][::-1],
            strict=True,
        ):
            np.add(dh_t, dh, out=dh_t)
            np.multiply(dh_t[:, None], local, out=du_gates)  # undoes the three gates
            np.multiply(dh_t, z, out=through_z)  # undoes z * h_prev
            multiply(du)  # undoes W_hh h
            np.add(dh, through_z, out=dh)
            if restarts[t] and keep is not None:
                dh *= keep[t]
        np.multiply(dhs[span], to_n, out=ns[span])
    np.copyto(gates[:, :, : 2 * hidden], us[:, :, : 2 * hidden])
    write_gradient(us, h_ins, grads.matrix)
    grads.bias[2 * hidden :] = qs.sum(axis=(0, 1))
    return gates, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, qs: Array, work: Workspace) -> tuple[Array, Array]:
    """Compute what dh is multiplied by, for a run of k steps: towards u (k, B, 3*H), and z_n (k, B, H)."""
    to_u = work.scratch("to_u", *gates.shape)
    to_n = work.scratch("to_n", *h_ins.shape)
    r, z, n = parts(gates, 3)
    to_r, to_z, to_q = parts(to_u, 3)
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    np.subtract(1, z, out=to_z)
    to_n *= to_z  # (1 - z) (1 - n^2)
    to_z *= z
    np.subtract(h_ins, n, out=to_r)
    to_z *= to_r  # (h_prev - n) z (1 - z)
    np.multiply(to_n, r, out=to_q)
    np.subtract(1, r, out=to_r)
    to_r *= qs
    to_r *= to_q  # (1 - z) (1 - n^2) q r (1 - r)
    return to_u, to_n
