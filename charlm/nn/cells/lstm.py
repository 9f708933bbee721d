"""The LSTM cell, with update (i), forget (f) and output (o) gates.

Source: Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000. Gate order i f g o, as in
`torch.nn.LSTM`. In the words of the course: i is the update gate, g the candidate c~.

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)          z = W_ih x + W_hh h + b
    g       = tanh(z_g)
    c       = f * c_prev + i * g
    h       = o * tanh(c)

Memory of a window: 6 T H B values a layer, 5 that all layers share, and 6 more for a run of
steps (`spans`) on the way back.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.nn.cells.cell import (
    Cell,
    Recurrence,
    RecurrenceGrads,
    State,
    Undo,
    restart,
    restarting_steps,
    sigmoid_of_halved,
    spans,
    transposed,
    write_gradients,
)
from charlm.nn.workspace import Workspace, multiply, product, stacked


class LSTM(Cell):
    """Long short-term memory; its state is (h, c)."""

    gates = 4
    halved = (True, True, False, True)
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
        hidden = len(h_prev)
        a = product(weights.scaled, h_prev)
        a += z
        np.tanh(a, out=a)
        if a.shape[1] == 1:  # fewer calls, where calls are what a step costs
            a *= weights.scale
            a += weights.shift
        else:
            sigmoid_of_halved(a[: 2 * hidden])
            sigmoid_of_halved(a[3 * hidden :])
        i, f, g, o = a[:hidden], a[hidden : 2 * hidden], a[2 * hidden : 3 * hidden], a[3 * hidden :]
        c = f * c_prev
        c += np.multiply(i, g, out=i)
        h = np.tanh(c)
        h *= o
        return h, c

    def forward(
        self, weights: Recurrence, zs: Array, state: State, keep: Array | None, work: Workspace
    ) -> tuple[Array, State, Undo]:
        """A window, as in `Cell.forward`."""
        steps, rows, streams = zs.shape
        hidden = rows // 4
        hs = work.array("hs", steps + 1, hidden, streams)  # hs[t] enters step t, hs[t + 1] leaves it
        cs = work.array("cs", steps + 1, hidden, streams)
        z = work.array("z", rows, streams)
        ig, tanh_c = (work.array(name, hidden, streams) for name in ("ig", "tanh_c"))
        hs[0], cs[0] = state
        restarts = restarting_steps(keep, steps)
        gates = zs.reshape(steps, 4, hidden, streams)
        w = stacked(weights.scaled, streams)
        z_stack = z.reshape(len(w), -1, streams)
        for t, (a, (i, f, g, o), h_prev, c_prev, c, h) in enumerate(
            zip(zs, gates, hs, cs, cs[1:], hs[1:], strict=False)
        ):
            if restarts[t] and keep is not None:
                h_prev, c_prev = h_prev * keep[t], c_prev * keep[t]
            multiply(w, h_prev, z_stack)
            np.add(a, z, out=a)
            np.tanh(a, out=a)
            sigmoid_of_halved(a[: 2 * hidden])  # i and f
            sigmoid_of_halved(o)
            np.multiply(f, c_prev, out=c)
            np.multiply(i, g, out=ig)
            np.add(c, ig, out=c)
            np.tanh(c, out=tanh_c)
            np.multiply(o, tanh_c, out=h)
        last = (hs[steps].copy(), cs[steps].copy())

        def undo(dhs: Array, dlast: State | None, grads: RecurrenceGrads) -> tuple[Array, State]:
            return backward(weights, gates, hs, cs, keep, dhs, dlast, grads, work)

        return hs[1:], last, undo


def backward(
    weights: Recurrence,
    gates: Array,
    hs: Array,
    cs: Array,
    keep: Array | None,
    dhs: Array,
    dlast: State | None,
    grads: RecurrenceGrads,
    work: Workspace,
) -> tuple[Array, State]:
    """Undo a window of `LSTM.forward`, see `Undo`.

    gates: i f g o of every step, (T, 4, H, B); replaced by dz.  hs, cs: (T + 1, H, B).

    Given dh and dc of a step, with * elementwise,
        d o = dh * tanh(c)                    dz_o = dh * [tanh(c) o (1 - o)]
        d c = dc + dh * [o (1 - tanh(c)^2)]   dz_i = dc * [g i (1 - i)]
        d c_prev = dc * f                     dz_f = dc * [c_prev f (1 - f)]
                                              dz_g = dc * [i (1 - g^2)]
    What stands in brackets does not depend on the recurrence, and is computed for a run of steps at once.
    """
    steps, _, hidden, streams = gates.shape
    matrix_t = stacked(transposed(weights.matrix, work), streams)
    dh, dc, dc_prev = (work.array(name, hidden, streams) for name in ("dh", "dc", "dc_prev"))
    dc_from_h = work.array("dc_from_h", hidden, streams)
    dh[...], dc[...] = (0, 0) if dlast is None else dlast
    dh_stack = dh.reshape(len(matrix_t), -1, streams)
    restarts = restarting_steps(keep, steps)
    c_ins = restart(cs[:-1], keep)
    dzs = work.scratch("wide", 4 * hidden, steps, streams)
    for span in spans(steps, hidden, streams):
        to_z, h_to_c = local_derivatives(gates[span], c_ins[span], cs[1:][span], work)
        ts = range(span.start, span.stop)
        for t, dh_t, dz, local, to_c in zip(
            reversed(ts), dhs[span][::-1], gates[span][::-1], to_z[::-1], h_to_c[::-1], strict=True
        ):
            np.add(dh, dh_t, out=dh)
            np.multiply(dh, to_c, out=dc_from_h)  # undoes h = o * tanh(c)
            np.add(dc, dc_from_h, out=dc)
            np.multiply(dc, dz[1], out=dc_prev)  # undoes f * c_prev; f stands where dz_f will
            np.multiply(dc, local[:3], out=dz[:3])  # undoes c = f * c_prev + i * g, and the gates
            np.multiply(dh, local[3], out=dz[3])  # undoes h = o * tanh(c), and the output gate
            dc, dc_prev = dc_prev, dc
            multiply(matrix_t, dz.reshape(4 * hidden, streams), dh_stack)  # undoes W_hh h
            if restarts[t] and keep is not None:
                dh *= keep[t]
                dc *= keep[t]
        np.copyto(dzs[:, span], gates[span].reshape(-1, 4 * hidden, streams).transpose(1, 0, 2))
    dzs = dzs.reshape(4 * hidden, steps * streams)
    write_gradients(dzs, restart(hs[:-1], keep), grads, work)
    return dzs, (dh.copy(), dc.copy())


def local_derivatives(gates: Array, c_ins: Array, cs: Array, work: Workspace) -> tuple[Array, Array]:
    """Compute the brackets of `backward` for a run of n steps.

    Returns d/dz of each gate (n, 4, H, B), and o (1 - tanh(c)^2) (n, H, B).
    """
    n, _, hidden, streams = gates.shape
    to_z = work.scratch("to_z", n, 4, hidden, streams)
    h_to_c = work.scratch("h_to_c", n, hidden, streams)
    tanh_cs = np.tanh(cs, out=work.scratch("tanh_cs", n, hidden, streams))  # cheaper than to keep it
    i, _, g, o = (gates[:, gate] for gate in range(4))
    np.subtract(1, gates[:, :2], out=to_z[:, :2])
    to_z[:, :2] *= gates[:, :2]  # s (1 - s) for the sigmoids
    to_z[:, 0] *= g
    to_z[:, 1] *= c_ins
    np.multiply(g, g, out=to_z[:, 2])
    np.subtract(1, to_z[:, 2], out=to_z[:, 2])
    to_z[:, 2] *= i
    np.multiply(o, tanh_cs, out=h_to_c)  # h
    np.subtract(1, o, out=to_z[:, 3])
    to_z[:, 3] *= h_to_c
    h_to_c *= tanh_cs
    np.subtract(o, h_to_c, out=h_to_c)  # o - o tanh(c)^2
    return to_z, h_to_c
