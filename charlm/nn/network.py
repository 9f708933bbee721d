"""The network: one-hot ids -> stack of recurrent layers -> dropout -> softmax head -> cross-entropy.

    zs    = W_ih x + b                              (G, T, B, H)  a gather for ids, one product for a layer
    hs    = cell(zs)                                (T, B, H)
    p     = softmax(W_head h + b_head)              (T*B, V)

A row is a stream, so each product with a vector is transposed: x @ W_ih^T. Memory of a training window, in values:
(G + 2) L T B H for all layers (LSTM), T B H for the gradient of an output, and T B H for dropout.
"""

from __future__ import annotations

import numpy as np

from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace, rows
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layers import head_loss_and_grads
from charlm.nn.layout import Parameters
from charlm.nn.stack import Stack
from charlm.nn.window import Window


class Network(BaseNetwork):
    """A language model that reads from left to right: one stack and a softmax head."""

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        super().__init__(config, vocabulary, start)
        self.stack = Stack(config, start)

    def loss_and_grads(
        self, params: Parameters, grads: Parameters, window: Window, state: NetworkState, work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState]:  # fmt: skip
        """See `BaseNetwork.loss_and_grads`."""
        cache = self.stack.forward(params, window.inputs, state, work, rng)
        dhs = work.array("dhs", *cache.outputs[-1].shape)
        loss = head_loss_and_grads(params, grads, window, rows(cache.output(-1, work)), rows(dhs), work)
        self.stack.backward(params, grads, cache, dhs, None, work)
        return loss, cache.state
