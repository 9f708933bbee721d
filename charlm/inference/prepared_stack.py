"""A stack of recurrent layers and a softmax head with their weights prepared once, for inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids, split_ids
from charlm.kernels.matmul import multiply_rows
from charlm.kernels.workspace import Workspace, aligned
from charlm.nn.base import NetworkState
from charlm.nn.cells.cell import Cell, reset_steps
from charlm.nn.layer_weights import LayerWeights
from charlm.nn.layers import projection_table
from charlm.nn.layout import Parameters
from charlm.nn.stack import Stack
from charlm.nn.tuning import NnTuning


class PreparedStack:
    """Recurrent layers that read ids in one direction.

    Parameters
    ----------
    stack : Stack
    params : Parameters
        Copied as far as the stack uses them.
    tuning : NnTuning
    """

    def __init__(self, stack: Stack, params: Parameters, tuning: NnTuning) -> None:
        self.cell, self.start, self.hidden = stack.cell, stack.start, stack.config.hidden
        self.is_start, self._conditions = stack.is_start, stack.config.conditions
        self.layers = stack.prepare(params, tuning=tuning)
        first = self.layers[0]
        weight, scale = params.one_hot_weight(stack.name), first.recurrence.scale
        vocabulary = weight.shape[1] - self._conditions
        self.table = projection_table(weight[:, :vocabulary], first.bias, scale)
        self.table = self.table.reshape(-1, self.cell.gates, 1, self.hidden)  # z of the first layer for each token
        self._of_labels = projection_table(weight[:, vocabulary:], np.zeros_like(scale), scale)  # added to it
        self._gate_rows = np.arange(self.cell.gates)[:, None]

    def project(self, ids: Ids, out: Array) -> Array:
        """Fill and return `out` (..., G, B, H) with z of the first layer for ids (..., B)."""
        tokens, labels = split_ids(ids, self._conditions) if self._conditions else (ids, None)
        rows = tokens[..., None, :] * self.cell.gates + self._gate_rows
        self.table.reshape(-1, self.hidden).take(rows, axis=0, out=out, mode="clip")
        if labels is not None:
            rows = labels[..., None, :] * self.cell.gates + self._gate_rows
            out += self._of_labels.reshape(-1, self.hidden)[rows]
        return out

    def read(self, ids: Ids, state: NetworkState | None, work: Workspace) -> tuple[Array, NetworkState]:
        """Read a window, layer by layer.

        Parameters
        ----------
        ids : ids (T, B)
        state : NetworkState or None
            Before the window; not changed; None for zero.
        work : Workspace
            Holds the outputs.

        Returns
        -------
        hs : array (T, B, H)
            Outputs of the last layer.
        state : NetworkState
            After the window.
        """
        (steps, streams), gates, hidden = ids.shape, self.cell.gates, self.hidden
        resets = reset_steps(np.logical_not(self.is_start(ids))[:, :, None])
        if state is None:
            state = [tuple(np.zeros((self.cell.state_arrays, streams, hidden), work.dtype))] * len(self.layers)
        hs = np.empty((steps, streams, 0), work.dtype)
        last: NetworkState = []
        for index, (weights, before) in enumerate(zip(self.layers, state, strict=True)):
            if weights.projection is None:
                zs = self.project(ids, work.scratch("zs", steps, gates, streams, hidden))
            else:
                by_gate = work.scratch("zs", gates, steps, streams, hidden)
                weights.projection.into(by_gate)(hs)
                by_gate += weights.bias.reshape(-1, 1, 1, hidden)
                zs = by_gate.swapaxes(0, 1)
            layer = tuple(array.copy() for array in before)
            advance = self.cell.advancer(weights.recurrence, layer, work.scope("step"))
            hs = work.array(f"hs{index % 2}", steps, streams, hidden)
            for t, (z, h) in enumerate(zip(zs, hs, strict=True)):
                if t in resets:
                    for array in layer:
                        array *= resets[t]
                advance(z)
                h[...] = layer[0]
            last.append(layer)
        return hs, last


def make_step(cell: Cell, layers: Sequence[LayerWeights], state: NetworkState) -> Callable[[Array], None]:
    """Return a function that advances `state` in place by one step of all layers.

    The function takes z of the first layer, (G, B, H), and leaves it unchanged.
    """
    (streams, hidden), dtype = state[0][0].shape, state[0][0].dtype
    advance_first, *others = [
        cell.advancer(weights.recurrence, layer, Workspace(dtype))  # scopes would share scratch
        for weights, layer in zip(layers, state, strict=True)
    ]
    z = aligned((cell.gates, streams, hidden), dtype)
    upper = [
        (weights.projection.into(z), below[0], weights.bias.reshape(cell.gates, -1, hidden), advance)
        for weights, below, advance in zip(layers[1:], state, others, strict=False)
        if weights.projection is not None
    ]

    def step(first_z: Array) -> None:
        advance_first(first_z)
        for project, h_below, bias, advance in upper:
            project(h_below)
            np.add(z, bias, z)
            advance(z)

    return step


class PreparedHead(NamedTuple):
    """The softmax head.

    matrix: W_head^T, (F, V), in the memory order that is fastest for one row.  bias: (1, V).
    """

    matrix: Array
    bias: Array

    @classmethod
    def prepare(cls, params: Parameters, tuning: NnTuning) -> PreparedHead:
        """Prepare the head of a network's parameters."""
        weight = params["head.weight"]
        is_by_rows = weight.size <= tuning.max_single_core_weights
        return cls(np.ascontiguousarray(weight.T) if is_by_rows else weight.T, params["head.bias"][None])

    def logits(self, hs: Array) -> Array:
        """Return the logits (N, V) for outputs (N, F) of the stacks."""
        logits = multiply_rows(hs, self.matrix, np.empty((len(hs), self.matrix.shape[1]), hs.dtype))
        logits += self.bias
        return logits
