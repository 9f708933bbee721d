"""The bidirectional network: it predicts each character from all characters before and after it.

    h_t  = stack(EOS, x_1 ... x_(t-1))                  `rnn`, reads from left to right
    g_t  = stack(EOS, x_n ... x_(t+1))                  `reverse`, reads from right to left
    p_t  = softmax(W_head (h_t, g_t) + b_head)          W_head (V, 2H)

Only the head combines the two stacks. If layers read each other's outputs, as in a deep
`torch.nn.LSTM(bidirectional=True)`, they would see the character that they predict.
Source: Schuster & Paliwal 1997, for one layer.

A window has inputs and targets (T, B) as for `Network`. The reverse stack reads the targets. It has nothing to read
for the last target, which is therefore read and not predicted. Each stack starts from a zero state at the edge of
the window and at each EOS.

A tagger has the same stacks and head, and predicts a label of each character from the whole text, which contains that
character:

    h_t  = stack(EOS, x_1 ... x_t)
    g_t  = stack(EOS, x_n ... x_t)
    p_t  = softmax(W_head (h_t, g_t) + b_head)          W_head (L, 2H)
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace, rows
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layers import head_loss_and_grads
from charlm.nn.layout import FORWARD, REVERSE, Parameters
from charlm.nn.stack import Stack, StackCache
from charlm.nn.window import Window


class BidirectionalNetwork(BaseNetwork):
    """Two stacks and one softmax head. No state is carried from window to window."""

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        super().__init__(config, vocabulary, start)
        self.stacks = Stack(config, start, FORWARD), Stack(config, start, REVERSE)

    @staticmethod
    def directions(inputs: Ids, targets: Ids) -> tuple[Ids, Ids]:
        """Return what each stack reads of a window, in its direction; both have the number of predicted steps."""
        return inputs[:-1], targets[:0:-1]

    def forward(
        self, params: Parameters, inputs: Ids, targets: Ids, work: Workspace, rng: np.random.Generator | None = None
    ) -> tuple[Array, list[StackCache]]:
        """Run both stacks over a window.

        Parameters
        ----------
        params : Parameters
        inputs, targets : ids (T, B)
        work : Workspace
        rng : np.random.Generator, optional
            Draws the dropout masks; without it nothing is dropped.

        Returns
        -------
        hs : array (T-1, B, 2H)
            Outputs of both stacks, scratch memory; (T, B, 2H) for a tagger.
        caches : list of StackCache
            One per stack, for the backward pass.
        """
        directions = self.directions(inputs, targets)
        hs = work.scratch("both", *directions[0].shape, 2 * self.config.hidden)
        caches = []
        for k, (stack, ids) in enumerate(zip(self.stacks, directions, strict=True)):
            scope = work.scope(stack.name)
            cache = stack.forward(params, ids, None, scope, rng)
            output = cache.output(-1, scope)
            self._half(hs, k)[...] = output[::-1] if k else output
            caches.append(cache)
        return hs, caches

    def loss_and_grads(
        self, params: Parameters, grads: Parameters, window: Window, state: NetworkState, work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState]:  # fmt: skip
        """See `BaseNetwork.loss_and_grads`. A last target that is not predicted has no loss; `state` is empty."""
        hs, caches = self.forward(params, window.inputs, window.targets, work, rng)
        dhs = work.array("dboth", *hs.shape)
        steps = slice(len(hs))
        weights = None if window.weights is None else window.weights[steps]
        predicted = Window(window.inputs[steps], window.targets[steps], weights, window.scale)
        loss = head_loss_and_grads(params, grads, predicted, rows(hs), rows(dhs), work)
        for k, (stack, cache) in enumerate(zip(self.stacks, caches, strict=True)):
            half = self._half(dhs, k)
            own = work.array("dhs", *half.shape)
            own[...] = half[::-1] if k else half
            stack.backward(params, grads, cache, own, None, work.scope(stack.name))
        return loss, []

    def _half(self, hs: Array, k: int) -> Array:
        """View the part (T, B, H) of the k-th stack in an array (T, B, 2H)."""
        return hs[..., k * self.config.hidden : (k + 1) * self.config.hidden]


class Tagger(BidirectionalNetwork):
    """Two stacks and a head that predicts a label at each position. A window has inputs and labels (T, B)."""

    @staticmethod
    def directions(inputs: Ids, targets: Ids) -> tuple[Ids, Ids]:
        """Return the window and its reversal: each stack reads the characters and none of the labels."""
        return inputs, inputs[::-1]
