"""Fill the gaps of a text: a beam search for the readings with the highest weights.

A bidirectional model fills the gap first whose most probable token is the most probable of all gaps, in each reading of
the beam. Then it replaces single filled tokens while another one is more probable given all others, a few at most
(iterated conditional modes, Besag 1986). The weight of a reading is its pseudo-log-likelihood.

A model of one direction fills from left to right. The weight of a reading is the log-probability of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from charlm.arrays import Ids
from charlm.inference.prepared_network import PreparedNetwork
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.tuning import DEFAULT_TUNING, InfillingTuning
from charlm.nn.functional import log_softmax, softmax
from charlm.text.vocabulary import Vocabulary

Reading: TypeAlias = tuple[float, Ids]
"""The weight of a text in nats, and its ids, (n,)."""


@dataclass(frozen=True)
class Filled:
    """A reading of a text with gaps.

    Attributes
    ----------
    text : str
        The text with all gaps filled.
    filled : tuple of str
        The tokens in the gaps, in order.
    weight : float
        log p of the text in nats, or its pseudo-log-likelihood.
    probability : float
        Its probability among all readings that were found, in (0, 1].
    """

    text: str
    filled: tuple[str, ...]
    weight: float
    probability: float


def fill_bidirectional(
    reader: BidirectionalReader,
    tokens: Sequence[str],
    gaps: Sequence[int],
    *,
    beam: int,
    best: int,
    tuning: InfillingTuning = DEFAULT_TUNING,
) -> list[Filled]:
    """Return the best readings of a text by a bidirectional model, the best first.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    tokens : sequence of str
        The tokens of the text, anything in the gaps.
    gaps : sequence of int
        Positions of the gaps, ascending, at least one.
    beam : int
        Number of readings that the search keeps, >= 1.
    best : int
        Number of readings to return, at most `beam`.
    tuning : InfillingTuning
        Sizes of the windows.
    """
    ids = reader.vocabulary.encode("".join(tokens)).astype(np.intp)
    ids[list(gaps)] = reader.vocabulary.unk
    readings: list[Reading] = [(0.0, ids)]
    for start in range(0, len(ids), tuning.fill_window):
        here = [gap for gap in gaps if start <= gap < start + tuning.fill_window]
        if not here:
            continue
        window = slice(max(0, start - tuning.margin), start + tuning.fill_window + tuning.margin)
        local = [gap - window.start for gap in here]
        local_readings = fill_window(reader, readings[0][1][window], local, beam, tuning)
        extended = []
        for weight, reading in readings:
            for gain, filled in local_readings:
                merged = reading.copy()
                merged[here] = filled[local]
                extended.append((weight + gain, merged))
        readings = nlargest(beam, extended, key=itemgetter(0))
    return as_filled(readings, tokens, gaps, reader.vocabulary, best)


def fill_window(
    reader: BidirectionalReader, ids: Ids, gaps: list[int], beam: int, tuning: InfillingTuning
) -> list[Reading]:
    """Return readings of a window (n,) whose gaps are UNK, with their pseudo-log-likelihoods, the best first."""
    vocabulary = reader.vocabulary
    readings: list[Reading] = [(0.0, ids)]
    for _ in gaps:
        log_probs = reader.log_probs(np.stack([ids for _, ids in readings], axis=1))[gaps]  # (gaps, V, B)
        log_probs[:, [vocabulary.eos, vocabulary.unk]] = -np.inf
        extended: dict[bytes, Reading] = {}
        for b, (weight, reading) in enumerate(readings):
            is_open = reading[gaps] == vocabulary.unk
            surest = int(np.argmax(np.where(is_open, log_probs[:, :, b].max(axis=1), -np.inf)))
            for token in np.argsort(-log_probs[surest, :, b])[: min(beam, len(vocabulary) - 2)]:
                filled = reading.copy()
                filled[gaps[surest]] = token
                extended[filled.tobytes()] = (weight + float(log_probs[surest, token, b]), filled)
        readings = nlargest(beam, extended.values(), key=itemgetter(0))
    return replace_single_tokens(reader, [ids for _, ids in readings], gaps, tuning.max_changes)


def replace_single_tokens(
    reader: BidirectionalReader, texts: list[Ids], gaps: list[int], max_changes: int
) -> list[Reading]:
    """Replace filled tokens of each text (n,), one after the other, by ones that are more probable given all others.

    Return the texts before and after each change with their pseudo-log-likelihoods, the best first. Each change is the
    one with the largest ratio of the two probabilities; there are at most `max_changes` in a text.
    """
    eos, unk = reader.vocabulary.eos, reader.vocabulary.unk
    readings: dict[bytes, Reading] = {}
    for _ in range(max_changes + 1):
        new = list({ids.tobytes(): ids for ids in texts if ids.tobytes() not in readings}.values())
        if not new:
            break
        columns = np.stack(new, axis=1)
        log_probs = reader.log_probs(columns)
        scores = np.take_along_axis(log_probs, columns[:, None], axis=1)[:, 0]
        scores[columns == eos] = 0  # ends of lines are given, not predicted
        log_probs[:, [eos, unk]] = -np.inf
        texts = []
        for b, ids in enumerate(new):
            readings[ids.tobytes()] = (float(scores[:, b].sum(dtype=np.float64)), ids)
            gains = log_probs[gaps, :, b].max(axis=1) - scores[gaps, b]
            if gains.max() > 0:
                changed = ids.copy()
                gap = gaps[int(gains.argmax())]
                changed[gap] = int(log_probs[gap, :, b].argmax())
                texts.append(changed)
    return sorted(readings.values(), key=itemgetter(0), reverse=True)


def fill_left_to_right(
    network: PreparedNetwork,
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    gaps: Sequence[int],
    *,
    beam: int,
    best: int,
) -> list[Filled]:
    """Return the best readings of a text by a model of one direction, the best first.

    Parameters are those of `fill_bidirectional`, with the prepared network and its vocabulary in place of a reader.
    """
    ids = vocabulary.encode("".join(tokens)).astype(np.intp)
    is_gap = np.isin(np.arange(len(ids)), gaps)
    filled = np.zeros((1, 0), np.intp)  # (B, gaps so far)
    weights = np.zeros(1)
    inputs: Ids = np.array([vocabulary.eos])
    state = network.zero_state(1)
    for token, is_open in zip(ids, is_gap, strict=True):
        logits, state = network.step(inputs, state)
        log_probs = log_softmax(logits).T  # (V, B)
        if is_open:
            log_probs[[vocabulary.eos, vocabulary.unk]] = -np.inf
            totals = (weights + log_probs).ravel()  # (V * B,)
            order = np.argsort(-totals, kind="stable")[:beam]
            order = order[np.isfinite(totals[order])]
            inputs, origins = np.divmod(order, len(weights))
            weights, state = totals[order].astype(np.float64), network.select(state, origins)
            filled = np.concatenate([filled[origins], inputs[:, None]], axis=1)
        else:
            weights = weights + log_probs[token]
            inputs = np.full(len(weights), token)
    texts = np.tile(ids, (len(weights), 1))
    texts[:, is_gap] = filled
    readings: list[Reading] = sorted(zip(weights.tolist(), texts, strict=True), key=itemgetter(0), reverse=True)
    return as_filled(readings, tokens, gaps, vocabulary, best)


def as_filled(
    readings: list[Reading], tokens: Sequence[str], gaps: Sequence[int], vocabulary: Vocabulary, best: int
) -> list[Filled]:
    """Return the first `best` readings as texts; tokens outside of the gaps are unchanged, even unknown ones."""
    probabilities = softmax([weight for weight, _ in readings])
    result = []
    for (weight, ids), probability in list(zip(readings, probabilities, strict=True))[:best]:
        text = list(tokens)
        for gap in gaps:
            text[gap] = vocabulary.tokens[ids[gap]]
        result.append(Filled("".join(text), tuple(text[gap] for gap in gaps), weight, probability))
    return result
