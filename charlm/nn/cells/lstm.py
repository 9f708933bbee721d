"""The LSTM cell, with update (i), forget (f) and output (o) gates.

Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. Gate order i f g o, as in
`torch.nn.LSTM`. In the course's notation, i is the update gate and g the candidate c~.

    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)          z = W_ih x + W_hh h_prev + b
    g       = tanh(z_g)
    c       = f * c_prev + i * g
    h       = o * tanh(c)

Memory of a window: 6 T B H values per layer, and 6 more per step of a chunk (`time_chunks`) in the backward pass.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import (
    Cell,
    CellCache,
    Recurrence,
    RecurrenceGrads,
    State,
    Step,
    StepArrays,
    gate_activation,
    time_chunks,
)

MIN_DIVISOR = 1e-30
"""Keeps h / o finite where o underflows to 0."""


class LSTM(Cell):
    """Long short-term memory; its state is (h, c)."""

    gates = 4
    is_sigmoid_gate = (True, True, False, True)
    gate_names = ("input", "forget", "candidate", "output")
    state_arrays = 2
    torch_name = "LSTM"

    def initial_bias(self, hidden: int) -> Array:
        """Return biases with open forget gates: 1 for f, 0 elsewhere (Jozefowicz et al. 2015)."""
        bias = np.zeros(4 * hidden)
        bias[hidden : 2 * hidden] = 1.0
        return bias

    def make_step(self, weights: Recurrence, streams: int, work: Workspace) -> Step:
        """Return the equations of one step: see `Cell.make_step`."""
        hidden = weights.matrix.shape[1]
        u = work.array("gates", 4, streams, hidden)
        ig, tanh_c = work.array("ig", streams, hidden), work.array("tanh_c", streams, hidden)
        multiply, activate = weights.packed.into(u), gate_activation(weights.gate_scale(streams))

        def step(arrays: StepArrays, z: Array) -> None:
            (h_prev, c_prev), (gates, i, f, g, o), (h, c), _ = arrays
            multiply(h_prev)  # u = W_hh h_prev
            np.add(z, u, gates)
            activate(gates)
            np.multiply(f, c_prev, c)
            np.multiply(i, g, ig)
            np.add(c, ig, c)  # c = f * c_prev + i * g
            np.tanh(c, tanh_c)
            np.multiply(o, tanh_c, h)  # h = o * tanh(c)

        return step

    def backward(
        self,
        weights: Recurrence,
        cache: CellCache,
        work: Workspace,
        dhs: Array,
        dlast: State | None,
        grads: RecurrenceGrads,
    ) -> tuple[Array, State]:
        """Back-propagate through a window: see `Backward`.

        Given dh and dc of a step, with * elementwise,
            d o = dh * tanh(c)                    dz_o = dh * [tanh(c) o (1 - o)]
            d c = dc + dh * [o (1 - tanh(c)^2)]   dz_i = dc * [g i (1 - i)]
            d c_prev = dc * f                     dz_f = dc * [c_prev f (1 - f)]
                                                  dz_g = dc * [i (1 - g^2)]
        The factors in brackets do not depend on dh and dc: they are computed for a chunk of steps at once.
        """
        _, steps, streams, hidden = cache.gates.shape
        dh, dc, dc_prev, dc_from_h = (
            work.array(name, streams, hidden) for name in ("dh", "dc", "dc_prev", "dc_from_h")
        )
        dh[...], dc[...] = (0, 0) if dlast is None else dlast
        multiply = PackedMatrix(weights.matrix, work).sum_into(dh, 4)
        c_prevs = cache.previous(1)
        dzs = cache.gates.swapaxes(0, 1)
        for chunk in time_chunks(steps, streams * hidden, self.tuning):
            factors, dc_dh = local_derivatives(cache.gates[:, chunk], c_prevs[chunk], cache.states[0, 1:][chunk], work)
            for t, dh_t, dz, factor, dc_dh_t in zip(
                reversed(range(steps)[chunk]),
                dhs[chunk][::-1],
                dzs[chunk][::-1],
                factors.swapaxes(0, 1)[::-1],
                dc_dh[::-1],
                strict=True,
            ):
                np.add(dh, dh_t, dh)
                np.multiply(dh, dc_dh_t, dc_from_h)
                np.add(dc, dc_from_h, dc)  # backward of h = o * tanh(c), to c
                np.multiply(dc, dz[1], dc_prev)  # backward of f * c_prev
                np.multiply(dc, factor[:3], dz[:3])  # backward of c = f * c_prev + i * g and the gates i, f, g
                np.multiply(dh, factor[3], dz[3])  # backward of h = o * tanh(c) and the gate o
                dc, dc_prev = dc_prev, dc
                multiply(dz)  # backward of W_hh h_prev
                if t in cache.resets:
                    dh *= cache.resets[t]
                    dc *= cache.resets[t]
        write_gradient(cache.gates, cache.previous(0), grads.matrix, work)
        return cache.gates, (dh.copy(), dc.copy())


def local_derivatives(gates: Array, c_prevs: Array, hs: Array, work: Workspace) -> tuple[Array, Array]:
    """Return the factors in brackets of `LSTM.backward` for n steps.

    gates: (4, n, B, H).  c_prevs: c before each step, (n, B, H).  hs: h after each step, (n, B, H).
    Returns the factors of dz, (4, n, B, H), and of dc, o (1 - tanh(c)^2), (n, B, H), in scratch memory.
    """
    factors = work.scratch("factors", *gates.shape)
    dc_dh, part = (work.scratch(name, *hs.shape) for name in ("dc_dh", "part"))
    i, f, g, o = gates
    for_i, for_f, for_g, for_o = factors
    np.multiply(i, g, for_i)
    np.multiply(for_i, g, part)
    np.subtract(i, part, for_g)  # i - i g^2
    np.multiply(for_i, i, part)
    np.subtract(for_i, part, for_i)  # g i - g i^2
    np.multiply(c_prevs, f, for_f)
    np.multiply(for_f, f, part)
    np.subtract(for_f, part, for_f)  # c_prev f - c_prev f^2
    np.multiply(hs, o, part)
    np.subtract(hs, part, for_o)  # h - h o, where h = tanh(c) o
    np.add(o, MIN_DIVISOR, part)
    np.divide(hs, part, part)  # tanh(c): cheaper than computing it again or storing it
    np.multiply(part, hs, part)
    np.subtract(o, part, dc_dh)  # o - o tanh(c)^2
    return factors, dc_dh
