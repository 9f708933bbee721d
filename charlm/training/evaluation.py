"""The held-out loss, and the calibration of the logits.

The held-out text is cut into streams that are read in parallel. Each stream but the first starts a little before
its own part. These warm-up characters are read and do not count, so that the result is the loss of one stream that
carries its state through the whole text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids, Mask, split_evenly
from charlm.engines.engine import Evaluator
from charlm.engines.process_group import ProcessGroup
from charlm.inference.prepare import prepare_network
from charlm.kernels.threads import parallel_map
from charlm.nn.base import BaseNetwork
from charlm.nn.functional import mix_log_probs
from charlm.nn.layout import Parameters
from charlm.text.bidirectional import cut_into_windows
from charlm.text.pairs import lay_out_pairs
from charlm.text.symbols import NO_LABEL, Conditions, Symbols
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


def cut_into_streams(
    ids: Ids, streams: int, start: int, warm_up: int = DEFAULT_TUNING.warm_up_characters
) -> tuple[Ids, Ids, Mask]:
    """Cut a text into parallel streams.

    Parameters
    ----------
    ids : (N + 1,) integers
        The text; ids[i] is the context of ids[i + 1].
    streams : int
        Maximum number of streams, B. A short text gets fewer.
    start : int
        Id that pads streams.
    warm_up : int
        Characters that each stream but the first reads before those that count.

    Returns
    -------
    inputs, targets : (T, B) integers
    counts : (T, B) bool
        Whether each target counts. Each character of the text counts exactly once.
    """
    total = len(ids) - 1
    streams = max(1, min(streams, total // (4 * warm_up)))
    length = -(-total // streams)
    steps = length + (warm_up if streams > 1 else 0)
    first = np.maximum(np.arange(streams) * length - (steps - length), 0)
    positions = first + np.arange(steps)[:, None]  # of the inputs, (T, B)
    is_own = positions // length == np.arange(streams)
    counts = is_own & (positions < total)
    clipped = np.minimum(positions, total - 1)
    inputs = np.where(positions < total, np.asarray(ids)[clipped], start)
    targets = np.asarray(ids)[clipped + 1]
    return inputs.astype(np.intp), targets.astype(np.intp), counts


class Sums(NamedTuple):
    """The loss summed over the characters of a held-out text, in nats, as a function of a scale of the logits.

    loss: at the current scale.  slope, curvature: derivatives with respect to a further factor, at 1.  size: number of
    characters.
    """

    loss: float
    slope: float
    curvature: float
    size: float


@dataclass
class HeldOut:
    """A held-out text, evaluated on all threads and processes of a run.

    Parameters
    ----------
    ids : (N + 1,) integers
        The text; the first id is the context of the second.
    network : BaseNetwork
        A bidirectional network gets the negative pseudo-log-likelihood: each character given all others.
    group : ProcessGroup
        The processes that read a slice of the streams each.
    threads : int
        Number of threads of this process; each reads `held_out_streams_per_thread` streams in parallel.
    tuning : TrainingTuning
    limit : int or None
        Maximum number of characters to evaluate; None for `max_held_out_characters`.
    symbols : Symbols or None
        Tokens and labels of the ids of labelled text. The loss is then that of the labels.
    conditions : Conditions or None
        The same, if the network reads the labels.
    """

    ids: Ids
    network: BaseNetwork
    group: ProcessGroup
    threads: int
    tuning: TrainingTuning = DEFAULT_TUNING
    limit: int | None = None
    symbols: Symbols | None = None
    conditions: Conditions | None = None

    @property
    def has_targets(self) -> bool:
        """Whether the text has a character, or a label, to predict."""
        return len(self.ids) > 1 and (self.symbols is None or self._characters_with_labels(1) < len(self.ids))

    @property
    def characters(self) -> int:
        """Number of characters that an evaluation reads; labelled text has a few labels in them."""
        max_characters = self.tuning.max_held_out_characters if self.limit is None else self.limit
        if self.symbols is not None:
            max_characters = max(max_characters, self._characters_with_labels(self.tuning.min_held_out_labels))
        return min(max_characters, len(self.ids) - 1)

    def _characters_with_labels(self, count: int) -> int:
        """Return the length of the shortest start of the text with a number of labels; its whole length without."""
        assert self.symbols is not None
        labelled = np.flatnonzero(self.symbols.labels[self.ids[:-1]] != NO_LABEL)
        return int(labelled[count - 1]) + 1 if len(labelled) >= count else len(self.ids)

    def sums(self, weights: Parameters | Evaluator, logit_scale: float) -> Sums:
        """Return the summed loss of weights at a scale of their logits, and its derivatives, over all processes."""
        terms = self.terms(weights, logit_scale)
        sums = terms.sum(axis=1, dtype=np.float64).tolist()
        return Sums(*self.group.all_reduce_sum(*sums, terms.shape[1]))

    def terms(self, weights: Parameters | Evaluator, logit_scale: float) -> Array:
        """Return the loss of each character that this process reads, and its derivatives, (3, N) in text order.

        NumPy reads the text with weights in the memory of this process; an evaluator reads it on its device.
        """
        if not isinstance(weights, Parameters):
            inputs, targets, counts = self._windows(weights.streams)
            local = self.group.local_slice(inputs.shape[1])
            terms = weights.measure(inputs[:, local], targets[:, local], logit_scale)
            return terms.swapaxes(1, 2)[:, counts[:, local].T]
        inputs, targets, counts = self._windows(self.tuning.held_out_streams_per_thread * self.threads)
        local = self.group.local_slice(inputs.shape[1])
        parts = split_evenly(local.start, local.stop, min(self.threads, local.stop - local.start))
        scaled = with_logit_scale(self.network.parameters(weights.flat.copy()), logit_scale)

        @np.errstate(over="ignore", invalid="ignore", divide="ignore")
        def measure(part: slice) -> Array:
            terms = prepare_network(self.network, scaled).measure(inputs[:, part], targets[:, part])
            return terms.swapaxes(1, 2)[:, counts[:, part].T]

        return np.hstack(parallel_map(measure, parts, self.threads))

    def _windows(self, max_streams: int) -> tuple[Ids, Ids, Mask]:
        """Cut the text into inputs and targets, (T, B), and a mask of the targets that count."""
        ids = self.ids[: self.characters + 1]
        if self.symbols and self.network.config.encoder_decoder:
            inputs, targets, weights = lay_out_pairs(self.ids, self.symbols, self.characters)
            return inputs, targets, weights > 0
        if self.network.config.bidirectional:
            inputs, targets, counts = cut_into_windows(ids)
            return self.symbols.windows(targets, counts) if self.symbols else (inputs, targets, counts)
        inputs, targets, counts = cut_into_streams(ids, max_streams, self.network.start, self.tuning.warm_up_characters)
        if self.conditions is not None:
            return self.conditions.windows(inputs, targets, counts)
        return self.symbols.windows(inputs, counts) if self.symbols else (inputs, targets, counts)


def calibrate(measure: Callable[[HeldOut, float], Sums], held_out: HeldOut, logit_scale: float) -> tuple[float, float]:
    """Calibrate the logits and return the loss.

    Parameters
    ----------
    measure : callable
        Returns the sums of a held-out text at a scale of the logits.
    held_out : HeldOut
        The text.
    logit_scale : float
        First estimate of the scale.

    Returns
    -------
    loss : float
        Mean loss at the calibrated scale, in nats per character.
    logit_scale : float
        The calibrated scale.
    """
    tuning = held_out.tuning
    sums = measure(held_out, logit_scale)
    better = better_logit_scale(logit_scale, sums.slope, sums.curvature, tuning)
    if abs(better - logit_scale) > tuning.logit_scale_tolerance:
        logit_scale = better
        sums = measure(held_out, logit_scale)
    return sums.loss / sums.size, logit_scale


def mix_terms(terms: Array) -> Sums:
    """Return the sums of a mixture from the terms of its K members, (K, 3, N): see `HeldOut.terms`.

    With p_k the probability of a character under member k, r_k = p_k / sum p and g_k = d log p_k / d scale,

        log p   = log mean p_k
        log p'  = sum r_k g_k
        log p'' = sum r_k (g_k^2 + g_k') - (sum r_k g_k)^2
    """
    log_probs, slopes, curvatures = -terms.astype(np.float64).swapaxes(0, 1)
    mixed = mix_log_probs(log_probs)
    fractions = np.exp(log_probs - mixed) / len(terms)
    slope = (fractions * slopes).sum(axis=0)
    curvature = (fractions * (slopes**2 + curvatures)).sum(axis=0) - slope**2
    loss, slopes_sum, curvatures_sum = (-float(values.sum()) for values in (mixed, slope, curvature))
    return Sums(loss, slopes_sum, curvatures_sum, mixed.size)


def with_logit_scale(params: Parameters, logit_scale: float) -> Parameters:
    """Fold a scale of the logits into the output layer, in place, and return the parameters."""
    for name in ("head.weight", "head.bias"):
        params[name][...] *= logit_scale
    if params.tied:  # the first layer also reads head.weight
        params["rnn.weight_ih_l0"][...] /= logit_scale
    return params


def better_logit_scale(
    logit_scale: float, slope: float, curvature: float, tuning: TrainingTuning = DEFAULT_TUNING
) -> float:
    """Return a better scale of the logits, by a Newton step.

    Parameters
    ----------
    logit_scale : float
        Scale at which the derivatives were measured.
    slope, curvature : float
        First and second derivative of the summed held-out loss, in nats, with respect to a further factor at 1.

    Notes
    -----
    A network that overfits is overconfident on held-out text. Temperature scaling corrects that, here with a
    Gaussian prior around 1.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599.
    """
    slope += tuning.logit_scale_precision * logit_scale * (logit_scale - 1)
    curvature += tuning.logit_scale_precision * logit_scale**2
    better = logit_scale * (1 - slope / curvature)
    if not math.isfinite(better):
        return logit_scale
    return min(max(better, tuning.min_logit_scale), tuning.max_logit_scale)
