"""Fill the gaps of a text by beam search.

A reading is a hypothesis of the beam search: the text with some or all gaps filled. Its weight is the score that the
search maximises.

- A bidirectional model fills in each step, and in each reading of the beam, the gap whose most probable token has the
  highest probability. Afterwards it replaces single filled tokens, a few at most, while another token is more probable
  given all others (iterated conditional modes, Besag 1986). The weight is the pseudo-log-likelihood.
- A model of one direction fills from left to right. The weight is the log-probability of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from charlm.arrays import Ids
from charlm.inference.interface import CausalModel
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.tuning import DEFAULT_TUNING, InfillingTuning
from charlm.nn.functional import log_softmax, softmax
from charlm.text.vocabulary import Vocabulary

Reading: TypeAlias = tuple[float, Ids]
"""The weight of a text in nats, and its ids, (n,)."""


@dataclass(frozen=True)
class Filled:
    """One result: a reading of a text with all gaps filled.

    Attributes
    ----------
    text : str
        The text with all gaps filled.
    filled : tuple of str
        The tokens in the gaps, in order.
    weight : float
        log p of the text in nats, or its pseudo-log-likelihood.
    probability : float
        exp(weight), divided by the sum over all readings that the search found, in (0, 1].
    """

    text: str
    filled: tuple[str, ...]
    weight: float
    probability: float


def find_blanks(tokens: Sequence[str], blank: str) -> list[int]:
    """Return the indices of the tokens to fill in: `blank`, in a model of words with or without a space before it."""
    return [index for index, token in enumerate(tokens) if token in (blank, f" {blank}")]


def fill_bidirectional(
    reader: BidirectionalReader,
    tokens: Sequence[str],
    gaps: Sequence[int],
    *,
    beam: int,
    best: int,
    tuning: InfillingTuning = DEFAULT_TUNING,
) -> list[Filled]:
    """Fill the gaps of a text with a bidirectional model, window by window, and return the best readings.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    tokens : sequence of str
        The tokens of the text, n in all. Those at the gaps are ignored.
    gaps : sequence of int
        Indices of the gaps, ascending, at least one.
    beam : int
        Beam width: number of readings that the search keeps in each step, >= 1.
    best : int
        Number of readings to return, at most `beam`.
    tuning : InfillingTuning
        Sizes of the windows.

    Returns
    -------
    list of Filled
        The readings with the highest weights, the highest first.
    """
    ids = reader.vocabulary.encode("".join(tokens)).astype(np.intp)
    ids[list(gaps)] = reader.vocabulary.unk
    readings: list[Reading] = [(0.0, ids)]
    for start in range(0, len(ids), tuning.fill_window):
        window_gaps = [gap for gap in gaps if start <= gap < start + tuning.fill_window]
        if not window_gaps:
            continue
        window = slice(max(0, start - tuning.margin), start + tuning.fill_window + tuning.margin)
        local = [gap - window.start for gap in window_gaps]  # indices within the window
        local_readings = fill_window(reader, readings[0][1][window], local, beam, tuning)
        extended = []
        for weight, reading in readings:
            for gain, filled in local_readings:
                merged = reading.copy()
                merged[window_gaps] = filled[local]
                extended.append((weight + gain, merged))
        readings = nlargest(beam, extended, key=itemgetter(0))
    return as_filled(readings, tokens, gaps, reader.vocabulary, best)


def fill_window(
    reader: BidirectionalReader, ids: Ids, gaps: list[int], beam: int, tuning: InfillingTuning
) -> list[Reading]:
    """Fill the gaps of a window (n,), which are UNK, and return the readings found, the best first."""
    vocabulary = reader.vocabulary
    readings: list[Reading] = [(0.0, ids)]
    for _ in gaps:
        log_probs = reader.log_probs(np.stack([ids for _, ids in readings], axis=1))[gaps]  # (gaps, V, B)
        log_probs[:, [vocabulary.eos, vocabulary.unk]] = -np.inf
        extended: dict[bytes, Reading] = {}
        for b, (weight, reading) in enumerate(readings):
            is_open = reading[gaps] == vocabulary.unk
            most_certain = int(np.argmax(np.where(is_open, log_probs[:, :, b].max(axis=1), -np.inf)))
            for token in np.argsort(-log_probs[most_certain, :, b])[: min(beam, len(vocabulary) - 2)]:
                filled = reading.copy()
                filled[gaps[most_certain]] = token
                extended[filled.tobytes()] = (weight + float(log_probs[most_certain, token, b]), filled)
        readings = nlargest(beam, extended.values(), key=itemgetter(0))
    return replace_single_tokens(reader, [ids for _, ids in readings], gaps, tuning.max_changes)


def replace_single_tokens(
    reader: BidirectionalReader, texts: list[Ids], gaps: list[int], max_changes: int
) -> list[Reading]:
    """Improve each filled text (n,) by iterated conditional modes: replace one token at a time by a more probable one.

    Each change maximises the ratio of the new token's probability to the old one's, both given all other tokens. A text
    gets at most `max_changes` changes. Return the texts before and after each change, the best first.
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
    network: CausalModel,
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    gaps: Sequence[int],
    *,
    beam: int,
    best: int,
) -> list[Filled]:
    """Fill the gaps of a text with a model of one direction, from left to right, and return the best readings.

    See `fill_bidirectional` for the other parameters and the result.

    Parameters
    ----------
    network : CausalModel
        Computes the log-probabilities.
    vocabulary : Vocabulary
        The vocabulary of the network.
    """
    ids = vocabulary.encode("".join(tokens)).astype(np.intp)
    texts, weights = ids[None], np.zeros(1)  # (B, n) and (B,)
    inputs: Ids = np.array([vocabulary.eos])
    state = network.zero_state(1)
    is_gap = np.isin(np.arange(len(ids)), gaps)
    for t in range(len(ids)):
        logits, state = network.step(inputs, state)
        log_probs = log_softmax(logits).T  # (V, B)
        if is_gap[t]:
            log_probs[[vocabulary.eos, vocabulary.unk]] = -np.inf
            totals = (weights + log_probs).ravel()  # (V * B,)
            order = np.argsort(-totals, kind="stable")[:beam]
            order = order[np.isfinite(totals[order])]
            best_tokens, origins = np.divmod(order, len(weights))
            texts, weights, state = texts[origins], totals[order].astype(np.float64), network.select(state, origins)
            texts[:, t] = best_tokens
        else:
            weights = weights + log_probs[ids[t]]
        inputs = texts[:, t]
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
