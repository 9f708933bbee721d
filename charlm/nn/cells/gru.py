"""The GRU cell, in PyTorch's variant: the reset (relevance) gate acts behind the matrix product.

Source: Cho et al. 2014, arXiv:1406.1078; the variant is that of `torch.nn.GRU` and cuDNN. Gate order r z n.
In the words of the course: r is the relevance gate, n the candidate c~, and its update gate is 1 - z.

    r, z = sigmoid(z_r + W_r h + b_r), sigmoid(z_z + W_z h + b_z)
    q    = W_n h + b_n
    n    = tanh(z_n + r * q)
    h    = (1 - z) * n + z * h_prev

Memory of a window: 5 T B H values a layer, and 4 more for a run of steps (`time_chunks`) on the way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, rows, sum_rows
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
    spread,
    time_chunks,
)


class GRU(Cell):
    """Gated recurrent unit; its state is (h,)."""

    gates = 3
    is_sigmoid_gate = (True, True, False)
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
        sigmoid_from_tanh(gates)
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
        u, a = (work.array(name, 3, streams, hidden) for name in ("u", "a"))
        q, rq = (work.array(name, streams, hidden) for name in ("q", "rq"))
        rz, (r, z_gate, n) = a[:2], a
        bias_n = spread(weights.bias[:, 2 * hidden :], h[None], work, "bias_n")[0]
        room = StepBuffers(u[:2], u[2], bias_n, np.array(0.5, u.dtype))
        multiply = weights.factor.into(u)

        def advance(z: Array) -> None:
            multiply(h)
            np.copyto(a, z)
            move_on(rz, r, z_gate, n, h, q, rq, h, room)

        return advance

    def forward(
        self, weights: Recurrence, zs: Array, state: State, reset_mask: Array | None, work: Workspace
    ) -> tuple[Array, State, Backward]:
        """A window, as in `Cell.forward`."""
        _, steps, streams, hidden = zs.shape
        hs = work.array("hs", steps + 1, streams, hidden)  # hs[t] enters step t, hs[t + 1] leaves it
        qs = work.array("qs", steps, streams, hidden)
        u = work.array("u", 3, streams, hidden)
        hs[0] = state[0]
        resets = reset_steps(reset_mask, steps)
        multiply = weights.factor.into(u)
        bias_n = spread(weights.bias[:, 2 * hidden :], u[2:], work, "bias_n")[0]
        room = StepBuffers(u[:2], u[2], bias_n, np.array(0.5, u.dtype))
        for t, (rz, r, z, n, q, h_prev, h) in enumerate(zip(zs[:2].swapaxes(0, 1), *zs, qs, hs, hs[1:], strict=False)):
            if resets[t] and reset_mask is not None:
                h_prev = h_prev * reset_mask[t]
            multiply(h_prev)
            move_on(rz, r, z, n, h_prev, q, h, h, room)
        last = (hs[steps].copy(),)

        def backward(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward_window(weights, zs, qs, hs, reset_mask, dhs, dlast, grads, work)

        return hs[1:], last, backward


class StepBuffers(NamedTuple):
    """What a step needs beside the state: W_hh h_prev as r and z have it, and n; b_n; 0.5, ()."""

    u_rz: Array
    u_n: Array
    bias_n: Array
    half: Array


def move_on(
    rz: Array,
    r: Array,
    z: Array,
    n: Array,
    h_prev: Array,
    q: Array,
    rq: Array,
    h: Array,
    room: StepBuffers,
) -> None:
    """Fill q and h, (B, H), from h_prev and the projected input, which is replaced by the gates.

    rz: r and z, (2, B, H), and its views.  rq: room for r * q; h, where that is not h_prev.
    """
    u_rz, u_n, bias_n, half = room
    np.add(rz, u_rz, out=rz)
    np.tanh(rz, out=rz)
    sigmoid_from_tanh(rz, half)
    np.add(u_n, bias_n, out=q)
    np.multiply(r, q, out=rq)
    np.add(n, rq, out=n)
    np.tanh(n, out=n)
    np.subtract(h_prev, n, out=h)
    np.multiply(z, h, out=h)
    np.add(n, h, out=h)


def backward_window(
    weights: Recurrence,
    gates: Array,
    qs: Array,
    hs: Array,
    reset_mask: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Backward a window of `GRU.forward`, see `Backward`.

    gates: r z n of every step, (3, T, B, H); replaced by dz.  qs: (T, B, H); replaced by dq.

    Given dh of a step, with * elementwise,
        dz_n = dh * [(1 - z) (1 - n^2)]         dq = dh * [(1 - z) (1 - n^2) r]
        dz_z = dh * [(h_prev - n) z (1 - z)]
        dz_r = dh * [(1 - z) (1 - n^2) q r (1 - r)]
        dh_prev = dh * z + W_rz^T (dz_r, dz_z) + W_n^T dq
    What stands in brackets does not depend on the recurrence, and is computed for a run of steps at once.
    """
    _, steps, streams, hidden = gates.shape
    dh, dh_from_q, through_z = (work.array(name, streams, hidden) for name in ("dh", "dh_from_q", "through_z"))
    dh[...] = 0 if dlast is None else dlast[0]
    multiply_rz = PackedMatrix(weights.matrix[: 2 * hidden], work).sum_into(dh, 2)
    multiply_n = PackedMatrix(weights.matrix[2 * hidden :], work, "blocks_n").into(dh_from_q)
    resets = reset_steps(reset_mask, steps)
    h_ins = apply_reset(hs[:-1], reset_mask)
    for span in time_chunks(steps, hidden, streams):
        to_rz, to_n, to_q = local_derivatives(gates[:, span], h_ins[span], qs[span], work)
        for t, dh_t, z, dz_rz, dq, local_rz, local_q in zip(
            reversed(range(span.start, span.stop)),
            dhs[span][::-1],
            gates[1, span][::-1],  # where dz_z will stand
            gates[:2, span].swapaxes(0, 1)[::-1],
            qs[span][::-1],
            to_rz.swapaxes(0, 1)[::-1],
            to_q[::-1],
            strict=True,
        ):
            np.add(dh_t, dh, out=dh_t)
            np.multiply(dh_t, z, out=through_z)  # undoes z * h_prev
            np.multiply(dh_t, local_rz, out=dz_rz)  # undoes the two gates
            np.multiply(dh_t, local_q, out=dq)  # undoes the candidate, as far as q
            multiply_rz(dz_rz)  # undoes W_rz h
            multiply_n(dq)  # undoes W_n h
            np.add(dh, dh_from_q, out=dh)
            np.add(dh, through_z, out=dh)
            if resets[t] and reset_mask is not None:
                dh *= reset_mask[t]
        np.multiply(dhs[span], to_n, out=gates[2, span])
    write_gradient(gates[:2], h_ins, grads.matrix[: 2 * hidden], work)
    write_gradient(qs[None], h_ins, grads.matrix[2 * hidden :], work)
    grads.bias[2 * hidden :] = sum_rows(rows(qs))
    return gates, (dh.copy(),)


def local_derivatives(gates: Array, h_ins: Array, qs: Array, work: Workspace) -> tuple[Array, Array, Array]:
    """Compute the brackets of `backward_window` for k steps: of r and z (2, k, B, H), of n and of q (k, B, H)."""
    to_rz = work.scratch("to_rz", 2, *h_ins.shape)
    to_n, to_q = (work.scratch(name, *h_ins.shape) for name in ("to_n", "to_q"))
    r, z, n = gates
    to_r, to_z = to_rz
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
    return to_rz, to_n, to_q
