"""A stack of recurrent layers, like a multi-layer `torch.nn.LSTM`: ids in, the hidden states of each layer out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids, Mask, tokens_of
from charlm.config import NetworkConfig
from charlm.kernels.matmul import write_gradient
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, sum_rows
from charlm.nn.base import NetworkState
from charlm.nn.cells import find_cell
from charlm.nn.cells.cell import Backward, CellCache, RecurrenceGrads
from charlm.nn.layer_weights import LayerWeights
from charlm.nn.layers import OneHotProjection, dropout_mask
from charlm.nn.layout import FORWARD, Parameters
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning


class StackCache(NamedTuple):
    """Results of a forward pass, and what its backward pass needs.

    Attributes
    ----------
    projection : OneHotProjection
        Input projection of the first layer.
    cells : list of CellCache
        Gate values and states of each layer.
    state : NetworkState
        Last state.
    backwards : list of Backward
        Backward pass of each layer's cell.
    output_masks : list of arrays (B, H)
        Dropout masks of the outputs; empty without dropout.
    weight_masks : list of arrays (G*H, H)
        Dropout masks of the recurrent weights; empty without recurrent dropout.
    """

    projection: OneHotProjection
    cells: list[CellCache]
    state: NetworkState
    backwards: list[Backward]
    output_masks: list[Array]
    weight_masks: list[Array]

    @property
    def outputs(self) -> list[Array]:
        """The hidden states of each layer before dropout, (T, B, H) each."""
        return [cell.hs for cell in self.cells]

    def output(self, layer: int, work: Workspace) -> Array:
        """Return the output of a layer after dropout, (T, B, H); with dropout it is scratch memory."""
        hs = self.cells[layer].hs
        if self.output_masks:
            hs = np.multiply(hs, self.output_masks[layer], out=work.scratch("output", *hs.shape))
        return hs


class Stack:
    """Recurrent layers that read ids in one direction. It holds no parameters: each call takes them.

    Parameters
    ----------
    config : NetworkConfig
    start : int
        EOS: an input of this id resets the state of its stream; -1 for no reset.
    name : str, default "rnn"
        Prefix of the names of its parameters.
    """

    def __init__(self, config: NetworkConfig, start: int, name: str = FORWARD) -> None:
        self.config = config
        self.start = start
        self.name = name
        self.cell = find_cell(config.cell)

    def is_start(self, ids: Ids) -> Mask:
        """Return which ids reset the state: EOS, with any label."""
        mask: Mask = tokens_of(ids, self.config.conditions) == self.start
        return mask

    def prepare(
        self, params: Parameters, work: Workspace | None = None, weight_masks: Sequence[Array | None] = (),
        tuning: NnTuning = DEFAULT_TUNING,
    ) -> list[LayerWeights]:  # fmt: skip
        """Return the prepared weights of each layer: see `LayerWeights.prepare`."""
        return [
            LayerWeights.prepare(
                self.cell, params.layer(self.name, layer), is_first=layer == 0, work=work, mask=mask, tuning=tuning
            )
            for layer, mask in enumerate(weight_masks or [None] * self.config.layers)
        ]

    def draw_masks(self, rng: np.random.Generator, streams: int, work: Workspace) -> tuple[list[Array], list[Array]]:
        """Draw the dropout masks of a window, layer by layer, into `work`.

        Returns
        -------
        output_masks : list of arrays (B, H)
            One per layer; empty without dropout.
        weight_masks : list of arrays (G*H, H)
            One per layer, of its recurrent weights; empty without recurrent dropout.

        References
        ----------
        Recurrent weights: Wan et al. 2013 (DropConnect); Merity et al. 2018, arXiv:1708.02182.
        """
        config, rows = self.config, self.cell.gates * self.config.hidden
        masks: tuple[list[Array], list[Array]] = ([], [])
        for layer in range(config.layers):
            scope = work.scope(f"layer{layer}")
            if config.recurrent_dropout:
                array = scope.array("weight_mask", rows, config.hidden)
                masks[1].append(dropout_mask(rng, config.recurrent_dropout, array))
            if config.dropout:
                masks[0].append(dropout_mask(rng, config.dropout, scope.array("output_mask", streams, config.hidden)))
        return masks

    def forward(
        self, params: Parameters, ids: Ids, state: NetworkState | None, work: Workspace,
        rng: np.random.Generator | None = None, prepared: Sequence[LayerWeights] | None = None,
    ) -> StackCache:  # fmt: skip
        """Run a window forward.

        Parameters
        ----------
        params : Parameters
        ids : ids (T, B)
        state : NetworkState or None
            Before the first step; None for zero.
        work : Workspace
            Holds the results, the state excepted, until its next use.
        rng : np.random.Generator, optional
            Draws the dropout masks; without it nothing is dropped.
        prepared : sequence of LayerWeights, optional
            The weights of each layer, if the caller has prepared them.

        Returns
        -------
        StackCache
        """
        (steps, streams), hidden, cell = ids.shape, self.config.hidden, self.cell
        starts = self.is_start(ids)
        reset_mask = np.where(starts, 0, 1).astype(work.dtype)[:, :, None] if starts.any() else None
        output_masks, weight_masks = ([], []) if rng is None else self.draw_masks(rng, streams, work)
        all_weights = prepared or self.prepare(params, work, weight_masks)
        if state is None:
            state = [tuple(np.zeros((cell.state_arrays, streams, hidden), work.dtype))] * self.config.layers
        bias, scale = all_weights[0].bias, all_weights[0].recurrence.scale
        embedding = params["head.weight"] if params.tied else None
        projection = OneHotProjection.prepare(
            params.layer(self.name, 0).weight_ih, bias, scale, ids, embedding, self.config.conditions
        )
        cache = StackCache(projection, [], [], [], output_masks, weight_masks)
        for layer, weights in enumerate(all_weights):
            scope = work.scope(f"layer{layer}")
            zs = scope.array("zs", cell.gates, steps, streams, hidden)
            if weights.projection is None:
                cache.projection.forward(zs)
            else:
                weights.projection.into(zs)(cache.output(layer - 1, work))
                zs += weights.bias.reshape(-1, 1, 1, hidden)
            values, backward = cell.forward(weights.recurrence, zs, state[layer], reset_mask, scope)
            cache.cells.append(values)
            cache.state.append(tuple(values.states[:, steps].copy()))
            cache.backwards.append(backward)
        return cache

    def backward(
        self, params: Parameters, grads: Parameters, cache: StackCache, dhs: Array, dlast: NetworkState | None,
        work: Workspace,
    ) -> NetworkState:  # fmt: skip
        """Run `forward` backward: from the gradient of the last output to those of the weights and the first state.

        Parameters
        ----------
        params : Parameters
        grads : Parameters
            Those of this stack are overwritten; those of a tied head are added to.
        cache : StackCache
            What `forward` returned.
        dhs : array (T, B, H)
            d loss / d `cache.output(-1)`; overwritten.
        dlast : NetworkState or None
            d loss / d last state; None for zero.
        work : Workspace
            The one of `forward`.

        Returns
        -------
        NetworkState
            d loss / d first state.
        """
        dstate: NetworkState = []
        shared = self.cell.bias_in_input(self.config.hidden)
        for layer in reversed(range(self.config.layers)):
            grad = grads.layer(self.name, layer)
            if cache.output_masks:
                dhs *= cache.output_masks[layer]  # backward of output dropout
            recurrent = RecurrenceGrads(grad.weight_hh, grad.bias_hh)
            dzs, dfirst = cache.backwards[layer](dhs, None if dlast is None else dlast[layer], recurrent)
            dstate.insert(0, dfirst)
            if cache.weight_masks:
                np.multiply(grad.weight_hh, cache.weight_masks[layer], out=grad.weight_hh)  # backward of weight dropout
            if layer == 0 and params.tied:
                weight = params.layer(self.name, 0).weight_ih
                cache.projection.backward_tied(dzs, weight, grad, grads["head.weight"], work)
            elif layer == 0:
                cache.projection.backward(dzs, grad.weight_ih, work)
                vocabulary = grad.weight_ih.shape[1] - self.config.conditions
                grad.weight_ih[:, :vocabulary].sum(axis=1, out=grad.bias_ih)  # the sum of a one-hot input is 1
            else:
                write_gradient(dzs, cache.output(layer - 1, work), grad.weight_ih, work)  # backward of W_ih x
                grad.bias_ih[...] = sum_rows(dzs.reshape(len(dzs), -1, self.config.hidden)).ravel()
                PackedMatrix(params.layer(self.name, layer).weight_ih, work).fill_sum(dhs, dzs)
            grad.bias_hh[:shared] = grad.bias_ih[:shared]  # z contains the sum of both
        return dstate
