"""The network for pairs of texts: an encoder reads a source, a decoder predicts its target.

    e_1 ... e_n, state = encoder(EOS, x_n ... x_1)           the source, from its end to its start
    d_t                = decoder(END, y_1 ... y_(t-1); state)
    c_t                = sum over s of softmax_s(d_t . e_s) e_s      attention, see `attention.py`
    p_t                = softmax(W_head (d_t, c_t) + b_head)         the distribution of y_t; y_(m+1) = END

Each layer of the decoder starts from the last state, (h) or (h, c), of the same layer of the encoder. The source is
reversed, so that its start is near the start of the target.

A window has inputs and targets (T, B), a pair in each stream. The inputs are the sources, reversed, at the end of the
window; before them there is EOS, at least once, which resets the state of the encoder. The targets are at the start of
the window; after END their weight is 0.

References
----------
Sutskever, Vinyals & Le 2014, Sequence to sequence learning with neural networks, arXiv:1409.3215.
Luong, Pham & Manning 2015, Effective approaches to attention-based neural machine translation, arXiv:1508.04025.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig
from charlm.kernels.workspace import Workspace, rows
from charlm.nn.attention import attend, attend_backward
from charlm.nn.base import BaseNetwork, NetworkState
from charlm.nn.layers import head_loss_and_grads
from charlm.nn.layout import DECODER, ENCODER, Parameters
from charlm.nn.stack import Stack
from charlm.nn.window import Window

END = 0
"""The label that ends a target, and that the decoder reads first."""
NO_RESET = -1
"""The start id of the decoder: no label resets its state."""


class EncoderDecoder(BaseNetwork):
    """Two stacks and one softmax head over the labels. No state is carried from window to window."""

    def __init__(self, config: NetworkConfig, vocabulary: int, start: int = 0) -> None:
        super().__init__(config, vocabulary, start)
        self.encoder = Stack(config, start, ENCODER)
        self.decoder = Stack(config, NO_RESET, DECODER)

    def window_size(self, steps: int, streams: int) -> int:
        """See `BaseNetwork.window_size`. Outputs, contexts and their gradients take 8 T B H more."""
        return super().window_size(steps, streams) + 8 * steps * streams * self.config.hidden

    def loss_and_grads(
        self, params: Parameters, grads: Parameters, window: Window, state: NetworkState, work: Workspace,
        rng: np.random.Generator | None = None,
    ) -> tuple[float, NetworkState]:  # fmt: skip
        """See `BaseNetwork.loss_and_grads`. `state` is empty."""
        sources = crop_sources(window.inputs, self.start)
        steps = target_steps(window.weights, len(window.targets))
        targets = window.targets[:steps]
        weights = None if window.weights is None else window.weights[:steps]
        encoder_work, decoder_work = work.scope(ENCODER), work.scope(DECODER)
        encoded = self.encoder.forward(params, sources, None, encoder_work, rng)
        decoded = self.decoder.forward(params, shift(targets), encoded.state, decoder_work, rng)
        hidden = self.config.hidden
        es, both = encoded.outputs[-1], work.array("both", *targets.shape, 2 * hidden)
        if encoded.output_masks:
            es = es * encoded.output_masks[-1]
        both[..., :hidden] = decoded.output(-1, decoder_work)
        by_stream = both[..., :hidden].swapaxes(0, 1)
        contexts, attention = attend(es.swapaxes(0, 1), by_stream, (sources != self.start).T)
        both[..., hidden:] = contexts.swapaxes(0, 1)
        dboth = work.array("dboth", *both.shape)
        predicted = Window(targets, targets, weights, window.scale)
        loss = head_loss_and_grads(params, grads, predicted, rows(both), rows(dboth), work)
        des, dhs = attend_backward(attention, dboth[..., hidden:].swapaxes(0, 1))
        dhs = np.ascontiguousarray(dhs.swapaxes(0, 1))
        dhs += dboth[..., :hidden]
        dstate = self.decoder.backward(params, grads, decoded, dhs, None, decoder_work)
        des = np.ascontiguousarray(des.swapaxes(0, 1))
        self.encoder.backward(params, grads, encoded, des, dstate, encoder_work)
        return loss, []


def shift(targets: Ids) -> Ids:
    """Return what the decoder reads to predict targets (T, B): END, and the targets before each."""
    previous = np.empty_like(targets)
    previous[:1], previous[1:] = END, targets[:-1]
    return previous


def crop_sources(inputs: Ids, start: int) -> Ids:
    """Return sources (T, B) without their first steps that are EOS in all streams, but one."""
    is_read = (inputs != start).any(axis=1)
    first = int(is_read.argmax()) if is_read.any() else len(inputs)
    return inputs[max(0, first - 1) :]


def target_steps(weights: Array | None, steps: int) -> int:
    """Return the number of steps, at least 1, after which all weights (T, B) are 0."""
    if weights is None:
        return steps
    counts = np.flatnonzero(weights.any(axis=1))
    return int(counts[-1]) + 1 if counts.size else 1
