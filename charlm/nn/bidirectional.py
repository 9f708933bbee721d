"""The network of both directions: each character predicted from all before it and all behind it.

    h_t  = stack(EOS, x_1 ... x_(t-1))                  `rnn`, reads from left to right
    g_t  = stack(EOS, x_n ... x_(t+1))                  `reverse`, reads from right to left
    p_t  = softmax(W_head (h_t, g_t) + b_head)          W_head (V, 2H)

The stacks meet at the head alone. Layers that read each other's outputs, as in a deep
`torch.nn.LSTM(bidirectional=True)`, would see the character that is to be predicted.
Source: Schuster & Paliwal 1997, for one layer.

A window is that of any other network, `inputs` and `targets` (T, B), where targets[t] is the character behind
inputs[t]. The reverse stack reads the targets; it has nothing to read for the last of them, which is
therefore read and not predicted. A stack starts anew, with a zero state, at the edge of the window and at each EOS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace, rows
from charlm.nn.layer_weights import LayerWeights
from charlm.nn.layers import head_loss_and_grads
from charlm.nn.layout import REVERSE, STACK, Parameters
from charlm.nn.network import Network, NetworkState, Pass


class BidirectionalNetwork(Network):
    """Two stacks and a head; as `Network`, but for the window and for the state: nothing is carried."""

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        super().__init__(config, vocabulary, start)
        self.one_way = Network(replace(config, bidirectional=False), vocabulary, start)

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Of no layer: what comes from the right cannot be carried."""
        return 0, self.cell.state_arrays, self.config.hidden

    def read(
        self,
        params: Parameters,
        inputs: Ids,
        targets: Ids,
        work: Workspace,
        rng: np.random.Generator | None = None,
        prepared: Sequence[Sequence[LayerWeights]] | None = None,
    ) -> tuple[Array, tuple[Pass, Pass]]:
        """Run both stacks over a window.

        inputs, targets: (T, B).  rng, prepared: as for `Network.forward`, `prepared` for each stack.
        Returns what the head reads, as rows ((T-1)*B, 2H), scratch; and the passes, to be undone.
        """
        steps, streams = len(inputs) - 1, inputs.shape[1]
        hidden, top = self.config.hidden, self.config.layers - 1
        both = work.scratch("both", steps, streams, 2 * hidden)
        passes: list[Pass] = []
        for k, (name, ids) in enumerate(((STACK, inputs[:-1]), (REVERSE, targets[:0:-1]))):
            room = work.scope(name)
            state = self.one_way.zero_state(streams, work.dtype)
            weights = None if prepared is None else prepared[k]
            run = self.one_way.forward(params.stack(name), ids, state, room, rng, weights)
            tops = run.handed_on(top, room)
            both[:, :, k * hidden : (k + 1) * hidden] = tops[::-1] if k else tops
            passes.append(run)
        return rows(both), (passes[0], passes[1])

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
        """Back-propagate through a window, as `Network.loss_and_grads`; the last target does not count."""
        both, passes = self.read(params, inputs, targets, work, rng)
        counted = None if weights is None else weights[:-1]
        shape, hidden = (len(inputs) - 1, inputs.shape[1]), self.config.hidden
        dboth = work.array("dboth", *shape, 2 * hidden)
        loss = head_loss_and_grads(params, grads, both, targets[:-1], counted, scale, work, rows(dboth))
        for k, (name, run) in enumerate(zip((STACK, REVERSE), passes, strict=True)):
            dhs = work.array("dhs", *shape, hidden)
            half = dboth[:, :, k * hidden : (k + 1) * hidden]
            np.copyto(dhs, half[::-1] if k else half)
            self.one_way.backward(params.stack(name), grads.stack(name), run, dhs, None, work.scope(name))
        return loss, []


