"""The weights of a layer as its products take them: scaled, biases added, laid out in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace, aligned
from charlm.nn.cells.cell import Cell, Recurrence
from charlm.nn.layout import Parameters

ON_ONE_CORE = 400_000
"""Weights up to which OpenBLAS multiplies a vector on one core, fastest by columns; beyond, on all of them, by rows."""


class LayerWeights(NamedTuple):
    """A layer's weights, prepared for a window; scaled as `Cell.is_sigmoid_gate` says.

    recurrence: of the cell.  projection: W_ih^T, (H, G*H); None in the first layer, whose input is one-hot.
    bias: of the projection, (G*H,), not scaled.  scale: (1, G*H).
    """

    recurrence: Recurrence
    projection: PackedMatrix | None
    bias: Array
    scale: Array

    @classmethod
    def prepare(
        cls, cell: Cell, params: Parameters, layer: int, work: Workspace | None, mask: Array | None
    ) -> LayerWeights:
        """Prepare a layer's weights.

        work: where they are laid out until the next layer asks; None for memory of their own.
        mask: what the recurrent weights are multiplied by, (G*H, H); None for ones.
        """
        matrix = params[f"rnn.weight_hh_l{layer}"]
        hidden = matrix.shape[1]
        if mask is not None:
            matrix = matrix * mask
        scale = cell.scale(hidden, matrix.dtype)
        bias_hh = params[f"rnn.bias_hh_l{layer}"]
        bias = params[f"rnn.bias_ih_l{layer}"].copy()
        shared = cell.bias_in_input(hidden)
        bias[:shared] += bias_hh[:shared]

        def factor(weight: Array) -> PackedMatrix:
            if work is not None:
                return PackedMatrix(weight.T, work, scale=scale)
            return PackedMatrix(stack([weight.T], scale))

        recurrence = Recurrence(matrix, factor(matrix), bias_hh * scale, scale, 1 - scale, {})
        return cls(recurrence, factor(params[f"rnn.weight_ih_l{layer}"]) if layer else None, bias, scale)

    def joined(self) -> PackedMatrix:
        """Return the weights of an upper layer as one, [W_ih W_hh]^T, (2*H, G*H)."""
        assert self.projection is not None
        return PackedMatrix(stack([self.projection.matrix, self.recurrence.factor.matrix]))

    def on_all_cores(self) -> LayerWeights:
        """Return the same weights, for products that may take every core."""
        recurrence = self.recurrence._replace(factor=self.recurrence.factor.on_all_cores())
        return self._replace(recurrence=recurrence, projection=self.projection and self.projection.on_all_cores())


def stack(matrices: Sequence[Array], scale: Array | None = None) -> Array:
    """Return matrices (K, N) one below the other, in memory as a vector is multiplied by them fastest.

    scale: (1, N), what the columns are multiplied by.
    """
    shape = sum(map(len, matrices)), matrices[0].shape[1]
    dtype = matrices[0].dtype
    out = aligned(shape, dtype) if prod(shape) <= ON_ONE_CORE else aligned(shape[::-1], dtype).T
    np.concatenate(matrices, out=out)
    return out if scale is None else np.multiply(out, scale, out=out)
