"""The network: one-hot input projection -> stack of cells -> softmax head.

    zs    = W_ih x + b                              (G, T, B, H)  a gather for ids, one product for a layer
    hs    = cell(zs)                                (T, B, H)
    p     = softmax(W_head h + b_head)              (T*B, V)

A row is a stream, so products with a vector stand transposed: x @ W_ih^T. Memory of a training window, in values:
(G + 2) L T B H for the layers (LSTM), and T B H that they share, twice that with dropout.
A stream starts anew, with a zero state, wherever its input is the id `start`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, rows, sum_rows
from charlm.nn.cells import find_cell
from charlm.nn.cells.cell import Backward, RecurrenceGrads, State
from charlm.nn.layer_weights import LayerWeights
from charlm.nn.layers import OneHotProjection, dense, dropout_mask, head_loss_and_grads
from charlm.nn.layout import Parameters, parameter_layout, size_of

FIRST = "rnn.weight_ih_l0"
NetworkState: TypeAlias = list[State]
"""The state of every layer, first layer first. Nobody outside a cell knows what is in it."""


def join_states(states: Sequence[NetworkState]) -> NetworkState:
    """Return the state of all streams of several states, one behind the other."""
    return [
        tuple(np.concatenate(arrays) for arrays in zip(*layers, strict=True)) for layers in zip(*states, strict=True)
    ]


class Pass(NamedTuple):
    """What a forward pass leaves behind: outputs of each layer, states, and what is needed to backward it."""

    outputs: list[Array]  # of each layer before dropout, (T, B, H)
    state: NetworkState
    backwards: list[Backward]
    masks: list[Array]  # of dropout, (B, H); empty without dropout
    dropped: list[Array]  # masks of the recurrent weights, (G*H, H); empty without recurrent dropout
    projection: OneHotProjection

    def handed_on(self, layer: int, work: Workspace) -> Array:
        """Return what a layer hands on, dropout applied, (T, B, H): its output, or scratch."""
        hs = self.outputs[layer]
        if self.masks:
            hs = np.multiply(hs, self.masks[layer], out=work.scratch("handed_on", *hs.shape))
        return hs


class Network:
    """A recurrent network over ids; its parameters are handed in, so that it has no state of its own.

    config: shape of the stack.  vocabulary: V.  start: the id that makes a stream start anew.
    """

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.start = start
        self.cell = find_cell(config.cell)
        self.layout = parameter_layout(config, vocabulary)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return size_of(self.layout)

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """The state that is carried from window to window: layers, arrays in each, H."""
        return self.config.layers, self.cell.state_arrays, self.config.hidden

    def window_size(self, steps: int, streams: int) -> int:
        """Return how many values a training window of (T, B) holds, dropout included."""
        stacks = 2 if self.config.bidirectional else 1
        return stacks * ((self.cell.gates + 2) * self.config.layers + 2) * steps * streams * self.config.hidden

    def parameters(self, flat: Array) -> Parameters:
        """Return named views into the vector `flat`, (P,)."""
        return Parameters(self.layout, flat)

    def initial(self, rng: np.random.Generator, dtype: Any = np.float32) -> Parameters:
        """Draw the parameters to start training from.

        Those of the stack as the cell wants them; the head uniform in +-1/sqrt(H).
        """
        hidden = self.config.hidden
        bound = 1 / np.sqrt(hidden)
        params = self.parameters(np.zeros(self.size, dtype))
        for name, view in params.items():
            if "weight_hh" in name:
                view[...] = self.cell.initial_recurrence(rng, hidden)
            elif "weight_ih" in name:
                view[...] = self.cell.initial_input(rng, hidden, view.shape[1], is_one_hot=name == FIRST)
            elif "bias_ih" in name:
                view[...] = self.cell.initial_bias(hidden)
            elif "weight" in name:
                view[...] = rng.uniform(-bound, bound, view.shape)
        return params

    def zero_state(self, streams: int, dtype: Any = np.float32) -> NetworkState:
        """Return the state before any input, for B = `streams`."""
        layers, arrays, hidden = self.state_shape
        return [tuple(np.zeros((arrays, streams, hidden), dtype)) for _ in range(layers)]

    @staticmethod
    def select(state: NetworkState, places: Ids | slice) -> NetworkState:
        """Return the state of the streams at `places`, in that order."""
        if isinstance(places, slice):
            return [tuple(array[places] for array in layer) for layer in state]
        return [tuple(array.take(places, axis=0) for array in layer) for layer in state]  # faster than an index

    def prepare(
        self, params: Parameters, layer: int, work: Workspace | None = None, mask: Array | None = None
    ) -> LayerWeights:
        """Prepare a layer's weights: see `LayerWeights.prepare`."""
        return LayerWeights.prepare(self.cell, params, layer, work, mask)

    def forward(
        self,
        params: Parameters,
        inputs: Ids,
        state: NetworkState,
        work: Workspace,
        rng: np.random.Generator | None = None,
        prepared: Sequence[LayerWeights] | None = None,
    ) -> Pass:
        """Run a window.

        inputs: (T, B).  state: as it was left by the window before.
        rng: draws the dropout masks; None for no dropout. Recurrent weights are dropped as by DropConnect (Wan et al.
        2013; Merity et al. 2018, arXiv:1708.02182).
        prepared: the weights of every layer, if they are at hand.
        """
        steps, streams = inputs.shape
        config, cell = self.config, self.cell
        starts = inputs == self.start
        reset_mask = np.where(starts, 0, 1).astype(work.dtype)[:, :, None] if starts.any() else None
        dropped: list[Array] = []

        def weights_of(layer: int) -> LayerWeights:
            if prepared:
                return prepared[layer]
            if rng is not None and config.recurrent_dropout:
                room = work.scope(f"layer{layer}").array("weights", cell.gates * config.hidden, config.hidden)
                dropped.append(dropout_mask(rng, config.recurrent_dropout, room))
            return self.prepare(params, layer, work, dropped[layer] if dropped else None)

        weights = weights_of(0)
        projection = OneHotProjection.prepare(params[FIRST], weights.bias, weights.scale, inputs)
        run = Pass([], [], [], [], dropped, projection)
        for layer in range(config.layers):
            room = work.scope(f"layer{layer}")
            zs = room.array("zs", cell.gates, steps, streams, config.hidden)
            if layer:
                weights = weights_of(layer)
            if weights.projection is None:
                run.projection.forward(zs)
            else:
                dense(weights.projection, weights.bias * weights.scale, run.handed_on(layer - 1, work), zs)
            hs, last, backward = cell.forward(weights.recurrence, zs, state[layer], reset_mask, room)
            if config.dropout and rng is not None:
                run.masks.append(dropout_mask(rng, config.dropout, room.array("mask", *hs.shape[1:])))
            run.outputs.append(hs)
            run.state.append(last)
            run.backwards.append(backward)
        return run

    def loss_and_grads(
        self,
        params: Parameters,
        grads: Parameters,
        inputs: Ids,
        targets: Ids,
        state: NetworkState,
        *,
        scale: float,
        work: Workspace,
        weights: Array | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState]:
        """Truncated back-propagation through time over one window.

        inputs, targets: (T, B).  weights: (T, B), how much each target counts; None for one each.
        state: from the window before; no gradient flows back into it, which is the truncation.
        grads: overwritten by d (scale * summed loss) / d params.
        Returns the unscaled summed loss, in nats, and the state to carry on.
        Source: Werbos 1990; truncation as in Williams & Peng 1990.
        """
        loss, last, _ = self.backpropagate(
            params, grads, inputs, targets, state, None, scale=scale, work=work, weights=weights, rng=rng
        )
        return loss, last

    def backpropagate(
        self,
        params: Parameters,
        grads: Parameters,
        inputs: Ids,
        targets: Ids,
        state: NetworkState,
        dlast: NetworkState | None,
        *,
        scale: float,
        work: Workspace,
        weights: Array | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState, NetworkState]:
        """As `loss_and_grads`, without the truncation: `dlast` comes in at the end, and dstate is returned."""
        run = self.forward(params, inputs, state, work, rng)
        tops = rows(run.handed_on(self.config.layers - 1, work))
        dhs = work.array("dhs", *run.outputs[-1].shape)
        loss = head_loss_and_grads(params, grads, tops, targets, weights, scale, work, rows(dhs))
        return loss, run.state, self.backward(params, grads, run, dhs, dlast, work)

    def backward(
        self,
        params: Parameters,
        grads: Parameters,
        run: Pass,
        dhs: Array,
        dlast: NetworkState | None,
        work: Workspace,
    ) -> NetworkState:
        """Backward `forward`: from the gradient of what the last layer handed on down to the weights of the first.

        run: what `forward` returned.  dhs: d loss / d `run.handed_on(last layer)`, (T, B, H); overwritten.
        Returns dstate.
        """
        dstate: NetworkState = []
        shared = self.cell.bias_in_input(self.config.hidden)
        for layer in reversed(range(self.config.layers)):
            if run.masks:
                dhs *= run.masks[layer]  # undoes dropout
            recurrent = RecurrenceGrads(grads[f"rnn.weight_hh_l{layer}"], grads[f"rnn.bias_hh_l{layer}"])
            dzs, dfirst = run.backwards[layer](dhs, None if dlast is None else dlast[layer], recurrent)
            dstate.insert(0, dfirst)
            if run.dropped:
                np.multiply(recurrent.matrix, run.dropped[layer], out=recurrent.matrix)  # undoes dropped weights
            bias, weight = grads[f"rnn.bias_ih_l{layer}"], grads[f"rnn.weight_ih_l{layer}"]
            if layer == 0:
                run.projection.backward(dzs, weight, work)
                weight.sum(axis=1, out=bias)  # of one-hot inputs the sum is 1
            else:
                write_gradient(dzs, run.handed_on(layer - 1, work), weight, work)  # undoes W_ih x
                bias[...] = sum_rows(dzs.reshape(len(dzs), -1, self.config.hidden)).ravel()
                PackedMatrix(params[f"rnn.weight_ih_l{layer}"], work).fill_sum(dhs, dzs, work)
            recurrent.bias[:shared] = bias[:shared]  # the two are added
        return dstate
