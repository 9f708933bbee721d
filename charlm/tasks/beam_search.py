"""Beam search: the most probable targets of several sources at a time.

Of each source, the search keeps the `beam` most probable beginnings of a target. A beginning that is followed by END is
complete, and leaves the beam, which then has one beginning fewer (Sutskever, Vinyals & Le 2014, arXiv:1409.3215,
section 3.2). A beam of 1 is greedy decoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import Encoded, PairModel
from charlm.nn.encoder_decoder import END
from charlm.nn.functional import log_softmax


class Hypothesis(NamedTuple):
    """A target: its labels without END, its log-probability in nats, and whether it has an END."""

    labels: tuple[int, ...]
    log_prob: float
    is_complete: bool

    def score(self, exponent: float) -> float:
        """Return the log-probability divided by a power of the length, with END."""
        return self.log_prob / math.pow(len(self.labels) + self.is_complete, exponent)


class Search:
    """A beam search for N sources.

    Parameters
    ----------
    model : PairModel
        The network.
    encoded : Encoded
        What the encoder makes of the sources.
    limits : ndarray of int, (N,)
        Maximum number of labels of each target, with END, >= 1.
    beam : int
        Beam width K.
    best : int
        Number of targets to find for each source, at most K.
    exponent : float
        Exponent of the length that divides the log-probability of a target: 0 ranks by probability.
    """

    def __init__(self, model: PairModel, encoded: Encoded, limits: Ids, beam: int, best: int, exponent: float) -> None:
        self._model, self._limits, self._beam, self._best, self._exponent = model, limits, beam, best, exponent
        count = len(limits)
        self._complete: list[list[Hypothesis]] = [[] for _ in range(count)]
        self._sources = np.arange(count)  # of each row; sources whose search has ended are left out
        self._scores = np.full((count, beam), -np.inf)  # log p of each beginning; -inf for none
        self._scores[:, 0] = 0.0
        self._labels = np.zeros((count, beam, 0), np.intp)  # of each beginning
        self._encoded = encoded.select(self._sources, np.repeat(self._sources, beam))
        self._stepper = model.stepper(self._encoded)

    def run(self) -> list[list[Hypothesis]]:
        """Return the `best` complete targets of each source, the best first; without any, the best beginning."""
        previous = np.full(self._scores.size, END)
        while self._sources.size:
            self._extend(log_softmax(self._stepper.read(previous).astype(np.float64)))
            self._leave_out_ended()
            previous = self._labels[:, :, -1].ravel()
        return [
            sorted(found, key=lambda one: one.score(self._exponent), reverse=True)[: self._best]
            for found in self._complete
        ]

    def _extend(self, log_probs: Array) -> None:
        """Extend each beginning by one label. log_probs: of the labels after each beginning, (rows * K, L)."""
        rows, beam = self._scores.shape
        totals = (self._scores.reshape(-1, 1) + log_probs).reshape(rows, -1)
        order = np.argsort(-totals, axis=1, kind="stable")[:, :beam] if beam > 1 else totals.argmax(axis=1)[:, None]
        scores = np.take_along_axis(totals, order, axis=1)
        parents, labels = np.divmod(order, log_probs.shape[1])
        if order.shape[1] < beam:  # fewer labels than beginnings to keep
            missing = ((0, 0), (0, beam - order.shape[1]))
            scores = np.pad(scores, missing, constant_values=-np.inf)
            parents, labels = np.pad(parents, missing), np.pad(labels, missing)
        free = beam - np.array([len(self._complete[source]) for source in self._sources])
        scores[np.arange(beam) >= free[:, None]] = -np.inf
        for row, k in zip(*np.nonzero((labels == END) & np.isfinite(scores)), strict=True):
            target = tuple(self._labels[row, parents[row, k]].tolist())
            self._complete[self._sources[row]].append(Hypothesis(target, float(scores[row, k]), True))
        scores[labels == END] = -np.inf
        kept = np.take_along_axis(self._labels, parents[:, :, None], axis=1)
        self._labels, self._scores = np.concatenate([kept, labels[:, :, None]], axis=2), scores
        if beam > 1:
            copy = [tuple(array.copy() for array in layer) for layer in self._stepper.state]
            self._stepper.move_to(copy, (np.arange(rows)[:, None] * beam + parents).ravel())

    def _leave_out_ended(self) -> None:
        """End the search for sources without a beginning that can become one of the best targets."""
        for row, source in enumerate(self._sources):
            found, scores = self._complete[source], self._scores[row]
            if not self._can_improve(found, float(scores.max()), int(self._limits[source])):
                if not found:
                    k = int(scores.argmax())
                    found.append(Hypothesis(tuple(self._labels[row, k].tolist()), float(scores[k]), False))
                scores[:] = -np.inf
        kept = np.flatnonzero(np.isfinite(self._scores).any(axis=1))
        if 2 * kept.size <= len(self._scores):  # smaller arrays are worth the copies
            streams = (kept[:, None] * self._beam + np.arange(self._beam)).ravel()
            self._sources, self._labels, self._scores = self._sources[kept], self._labels[kept], self._scores[kept]
            self._encoded = Encoded(self._stepper.state, self._encoded.memories).select(kept, streams)
            self._stepper = self._model.stepper(self._encoded)

    def _can_improve(self, found: Sequence[Hypothesis], top: float, limit: int) -> bool:
        """Return whether a beginning with the log-probability `top` may become one of the best targets."""
        if np.isneginf(top) or self._labels.shape[2] >= limit:
            return False
        if len(found) < self._best:
            return True
        worst = sorted((one.score(self._exponent) for one in found), reverse=True)[self._best - 1]
        return top / math.pow(limit, self._exponent) > worst
