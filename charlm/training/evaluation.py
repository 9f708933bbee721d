"""The held-out loss, one pass over the held-out text with the state carried; and how sure of itself a model may be.

The text is cut into streams that are read side by side. Each but the first begins a little earlier than its
own part, with characters that are read and not counted, so that what is measured is a network in the middle
of a text, as if the whole had been read in one stream.
"""

from __future__ import annotations

import math

import numpy as np

from charlm.arrays import Array, Ids, Mask, split_evenly
from charlm.engines.engine import Engine
from charlm.engines.process_group import ProcessGroup
from charlm.inference.prepare import prepare_network
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters
from charlm.text.bidirectional import cut_into_windows

WARM_UP = 96
"""Characters that a stream reads before those that count."""
SHARP_ENOUGH = 0.02
"""Difference in logit_scale that is not worth another reading: 0.0003 nats per character, about."""
PRIOR = 100.0
"""Precision of the belief that logits are as sharp as they ought to be: a standard deviation of 0.1."""
LEAST_SHARPNESS, MOST_SHARPNESS = 0.5, 2.0
"""What logits may be multiplied by."""


def cut_into_streams(ids: Ids, streams: int, start: int) -> tuple[Ids, Ids, Mask]:
    """Lay out a text as (T, B) inputs, targets, and whether each target counts.

    ids: (N + 1,); ids[i] is the context of ids[i + 1].  streams: B at most; short texts get fewer.
    start: the id that fills up streams, and stands for the context before the text.
    """
    total = len(ids) - 1
    streams = max(1, min(streams, total // (4 * WARM_UP)))
    own = -(-total // streams)
    steps = own + (WARM_UP if streams > 1 else 0)
    firsts = np.maximum(np.arange(streams) * own - (steps - own), 0)
    places = firsts + np.arange(steps)[:, None]  # of the inputs, (T, B)
    owner = places // own == np.arange(streams)
    counts = owner & (places < total)
    safe = np.minimum(places, total - 1)
    inputs = np.where(places < total, np.asarray(ids)[safe], start)
    targets = np.asarray(ids)[safe + 1]
    return inputs.astype(np.intp), targets.astype(np.intp), counts


def lay_out(ids: Ids, network: BaseNetwork, streams: int) -> tuple[Ids, Ids, Mask]:
    """Lay out a held-out text for a network, as `cut_into_streams` or `cut_into_windows`.

    With context on both sides what is measured is the pseudo-log-likelihood: each character given all others.
    """
    if network.config.bidirectional:
        return cut_into_windows(ids)
    return cut_into_streams(ids, streams, network.start)


class HeldOut:
    """A held-out text, measured on all cores or ranks of an engine.

    ids: (N + 1,), the context before the text first.  streams: to read side by side.
    """

    def __init__(self, ids: Ids, network: BaseNetwork, engine: Engine, group: ProcessGroup, streams: int) -> None:
        self._layout = lay_out(ids, network, streams)
        self._network = network
        self._engine, self._group = engine, group

    def loss(self, params: Parameters, logit_scale: float) -> tuple[float, float]:
        """Return the mean loss of weights whose logits are as sharp as this text wants them, in nats, and how sharp.

        params: left as they are.  logit_scale: a first guess of what to multiply their logits by.
        """
        loss, better = self._measure(params, logit_scale)
        if abs(better - logit_scale) > SHARP_ENOUGH:
            logit_scale = better
            loss, _ = self._measure(params, logit_scale)
        return loss, logit_scale

    def _measure(self, params: Parameters, logit_scale: float) -> tuple[float, float]:
        """Return the mean loss at a logit_scale, and a better one."""
        inputs, targets, counts = self._layout
        own = self._group.local_slice(inputs.shape[1])
        streams = own.stop - own.start
        count = min(self._engine.threads, streams)
        parts = split_evenly(own.start, own.stop, count)
        weights = with_logit_scale(self._network.parameters(params.flat.copy()), logit_scale)

        @np.errstate(over="ignore", invalid="ignore", divide="ignore")
        def measure(part: slice) -> Array:
            return prepare_network(self._network, weights).measure(inputs[:, part], targets[:, part], counts[:, part])

        sums = np.sum(self._engine.parallel_map(measure, parts), axis=0)
        total, slope, curvature, counted = self._group.all_reduce_sum(*sums.tolist(), int(counts[:, own].sum()))
        return total / counted, better_logit_scale(logit_scale, slope, curvature)


def with_logit_scale(params: Parameters, logit_scale: float) -> Parameters:
    """Multiply the logits that weights lead to, in place; returns them."""
    for name in ("head.weight", "head.bias"):
        params[name][...] *= logit_scale
    return params


def better_logit_scale(logit_scale: float, slope: float, curvature: float) -> float:
    """Return what to multiply the logits of a network by, by its summed loss on a held-out text.

    logit_scale: what they were multiplied by when that was measured.  slope, curvature: derivatives of the loss by a
    further factor, at 1, in nats.
    A network that knows its training text by heart is too sure of itself elsewhere: temperature scaling mends that
    (Guo et al. 2017, arXiv:1706.04599), here by one step of Newton's method with a Gaussian prior around 1.
    """
    slope += PRIOR * logit_scale * (logit_scale - 1)
    curvature += PRIOR * logit_scale**2
    better = logit_scale * (1 - slope / curvature)
    return min(max(better, LEAST_SHARPNESS), MOST_SHARPNESS) if math.isfinite(better) else logit_scale
