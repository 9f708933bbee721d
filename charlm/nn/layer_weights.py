"""The weights of one layer, prepared for products: scaled, biases added, packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array
from charlm.kernels.packed_matrix import MatrixStack, PackedMatrix
from charlm.kernels.workspace import Workspace, aligned
from charlm.nn.cells.cell import Cell, Recurrence
from charlm.nn.layout import LayerParameters
from charlm.nn.tuning import DEFAULT_TUNING, NnTuning


class LayerWeights(NamedTuple):
    """Prepared weights of one layer, scaled: see `Cell.is_sigmoid_gate`.

    Attributes
    ----------
    recurrence : Recurrence
        Weights of the cell.
    projection : PackedMatrix (K, G*H) or None
        W_ih^T; None in the first layer, whose input is one-hot.
    bias : array (1, G*H)
        Bias of the projection: b_ih, and b_hh as far as the cell does not add it itself.
    """

    recurrence: Recurrence
    projection: PackedMatrix | MatrixStack | None
    bias: Array

    @classmethod
    def prepare(
        cls,
        cell: Cell,
        params: LayerParameters,
        *,
        is_first: bool,
        work: Workspace | None = None,
        mask: Array | None = None,
        tuning: NnTuning = DEFAULT_TUNING,
    ) -> LayerWeights:
        """Prepare the weights of a layer.

        Parameters
        ----------
        cell : Cell
        params : LayerParameters
        is_first : bool
            Whether the input is one-hot.
        work : Workspace, optional
            Holds the packed weights until the next layer's are packed; without it they have their own memory.
        mask : array (G*H, H), optional
            Factor of the recurrent weights: a dropout mask.
        tuning : NnTuning
        """
        hidden = params.weight_hh.shape[1]
        matrix = params.weight_hh if mask is None else params.weight_hh * mask
        scale = cell.scale(hidden, matrix.dtype)
        bias, shared = params.bias_ih.copy(), cell.bias_in_input(hidden)
        bias[:shared] += params.bias_hh[:shared]

        def pack(weight: Array) -> PackedMatrix:
            if work is not None:
                return PackedMatrix(weight.T, work, scale=scale)
            is_by_rows = weight.size <= tuning.max_single_core_weights
            own = aligned(weight.T.shape, weight.dtype) if is_by_rows else aligned(weight.shape, weight.dtype).T
            return PackedMatrix(np.multiply(weight.T, scale, out=own))

        recurrence = Recurrence(matrix, pack(matrix), params.bias_hh * scale, scale)
        return cls(recurrence, None if is_first else pack(params.weight_ih), bias * scale)

    @classmethod
    def stack(cls, members: Sequence[LayerWeights]) -> LayerWeights:
        """Return the weights of one layer of K networks as those of a layer of K streams, one network per stream.

        The biases are (K, G*H) in `recurrence`, and (G, K, H) for the projection.
        """
        first = members[0]
        recurrences = [member.recurrence for member in members]
        packed = MatrixStack([r.packed.matrix for r in recurrences if isinstance(r.packed, PackedMatrix)])
        bias = np.concatenate([recurrence.bias for recurrence in recurrences])
        projections = [one.projection.matrix for one in members if isinstance(one.projection, PackedMatrix)]
        hidden = first.recurrence.matrix.shape[1]
        return cls(
            first.recurrence._replace(packed=packed, bias=bias),
            MatrixStack(projections) if projections else None,
            np.concatenate([member.bias.reshape(-1, 1, hidden) for member in members], axis=1),
        )
