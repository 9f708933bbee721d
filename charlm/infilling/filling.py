"""Filling in: the best readings of a text with missing characters.

From both sides, the surest character comes first: of all missing places the one with the most probable character is
filled, in each reading of the beam, until none is left; then single characters are reconsidered as long as that makes
the whole more probable (iterated conditional modes, Besag 1986). Readings are weighed by the pseudo-log-likelihood of
the whole text. From left to right, a beam of beginnings is carried through the text, and a reading is weighed by the
probability of the whole text. The share of a reading is its weight against those of all readings that were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from charlm.arrays import Ids
from charlm.nn.functional import log_softmax
from charlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.infilling.bidirectional_reader import BidirectionalReader

OWN, MARGIN = 160, 64
"""Characters of a stretch that is filled at a time, and that are read on either side of it."""
Reading: TypeAlias = tuple[float, Ids]
"""The weight of a text, and its ids (n,)."""
SWEEPS = 3
"""Times that all filled places are reconsidered, at most."""


@dataclass(frozen=True)
class Filled:
    """A reading of a text.

    text: with nothing missing.  filled: what was put in, in order.
    weight: how well all of it fits, in nats: log p, or the pseudo-log-likelihood from both sides.
    share: its probability among the readings that were found.
    """

    text: str
    filled: tuple[str, ...]
    weight: float
    share: float


def fill_bidirectional(
    reader: BidirectionalReader, pieces: Sequence[str], missing: Sequence[int], *, beam: int, best: int
) -> list[Filled]:
    """Return the best readings of a text, the best first.

    pieces: its characters.  missing: places of those that are missing, in order.  beam: readings that are followed.
    """
    vocabulary = reader.vocabulary
    ids: Ids = np.array([int(vocabulary.encode(piece)[0]) for piece in pieces], np.intp)
    ids[list(missing)] = vocabulary.unk
    found: list[Reading] = [(0.0, ids)]
    for first in range(0, len(ids), OWN):
        here = [place for place in missing if first <= place < first + OWN]
        if here:
            found = nlargest(beam, extended(reader, found, here, first, beam), key=lambda reading: reading[0])
    return as_filled(found, pieces, missing, vocabulary, best)


def extended(
    reader: BidirectionalReader, found: list[Reading], here: list[int], first: int, beam: int
) -> list[Reading]:
    """Return readings with the places `here` filled in each way that was found in the best one so far."""
    window = slice(max(0, first - MARGIN), first + OWN + MARGIN)
    local = [place - window.start for place in here]
    readings = fill_window(reader, found[0][1][window], local, beam)
    result = []
    for weight, ids in found:
        for gain, filled in readings:
            merged = ids.copy()
            merged[here] = filled[local]
            result.append((weight + gain, merged))
    return result


def fill_window(reader: BidirectionalReader, ids: Ids, missing: list[int], beam: int) -> list[Reading]:
    """Return readings of a window (n,) with their pseudo-log-likelihoods, the best first."""
    never = [reader.vocabulary.eos, reader.vocabulary.unk]
    readings = [(0.0, ids)]
    for _ in missing:
        log_probs = reader.log_probs(np.stack([ids for _, ids in readings], axis=1))[missing]  # (m, V, B)
        log_probs[:, never] = -np.inf
        grown: dict[bytes, Reading] = {}
        for b, (weight, reading) in enumerate(readings):
            is_open = reading[missing] == reader.vocabulary.unk
            at = int(np.argmax(np.where(is_open, log_probs[:, :, b].max(axis=1), -np.inf)))
            possible = len(log_probs[at]) - len(never)
            for choice in np.argsort(-log_probs[at, :, b])[: min(beam, possible)]:
                filled = reading.copy()
                filled[missing[at]] = choice
                grown[filled.tobytes()] = (weight + float(log_probs[at, choice, b]), filled)
        readings = nlargest(beam, grown.values(), key=lambda reading: reading[0])
    return reconsidered(reader, [ids for _, ids in readings], missing, never)


def reconsidered(reader: BidirectionalReader, texts: list[Ids], missing: list[int], never: list[int]) -> list[Reading]:
    """Change single characters as long as that makes a text more probable; return all texts, the best first."""
    weights: dict[bytes, Reading] = {}
    for _ in range(SWEEPS + 1):
        new = list({ids.tobytes(): ids for ids in texts if ids.tobytes() not in weights}.values())
        if not new:
            break
        columns = np.stack(new, axis=1)
        log_probs = reader.log_probs(columns)
        at_places = np.take_along_axis(log_probs, columns[:, None], axis=1)[:, 0]
        at_places[columns == reader.vocabulary.eos] = 0  # ends of lines are given, not predicted
        log_probs[:, never] = -np.inf
        texts = []
        for b, ids in enumerate(new):
            weights[ids.tobytes()] = (float(at_places[:, b].sum(dtype=np.float64)), ids)
            better = log_probs[missing, :, b].max(axis=1) - at_places[missing, b]
            if better.max() > 0:
                changed = ids.copy()
                at = missing[int(better.argmax())]
                changed[at] = int(log_probs[at, :, b].argmax())
                texts.append(changed)
    return sorted(weights.values(), key=lambda reading: -reading[0])


def fill_from_left_to_right(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    pieces: Sequence[str],
    missing: Sequence[int],
    *,
    beam: int,
    best: int,
) -> list[Filled]:
    """Return the best readings of a text by a network that reads in one direction, the best first."""
    ids: Ids = np.array([int(vocabulary.encode(piece)[0]) for piece in pieces], np.intp)
    places = set(missing)
    beams = np.zeros((1, 0), np.intp)
    weights = np.zeros(1)
    last: Ids = np.array([vocabulary.eos])
    state = runner.zero_state(1)
    for place, known in enumerate(ids):
        logits, state = runner.step(last, state)
        log_probs = log_softmax(logits).T
        if place in places:
            log_probs[[vocabulary.eos, vocabulary.unk]] = -np.inf
            totals = (weights + log_probs).ravel()  # (V * B,)
            kept = np.argsort(-totals, kind="stable")[:beam]
            kept = kept[np.isfinite(totals[kept])]
            last, origins = np.divmod(kept, len(weights))
            weights, state = totals[kept].astype(np.float64), runner.select(state, origins)
            beams = np.concatenate([beams[origins], last[:, None]], axis=1)
        else:
            weights = weights + log_probs[known]
            last = np.full(len(weights), known)
    found: list[Reading] = []
    for weight, row in zip(weights.tolist(), beams, strict=True):
        filled = ids.copy()
        filled[list(missing)] = row
        found.append((weight, filled))
    found.sort(key=lambda reading: -reading[0])
    return as_filled(found, pieces, missing, vocabulary, best)


def as_filled(
    found: list[Reading], pieces: Sequence[str], missing: Sequence[int], vocabulary: Vocabulary, best: int
) -> list[Filled]:
    """Turn weighed readings, the best first, into texts; what was not missing stays as it was, known or not."""
    weights = np.array([weight for weight, _ in found])
    shares = np.exp(weights - weights.max())
    shares /= shares.sum()
    result = []
    for (weight, ids), share in list(zip(found, shares.tolist(), strict=True))[:best]:
        filled = tuple(vocabulary.tokens[ids[place]] for place in missing)
        text = list(pieces)
        for place, piece in zip(missing, filled, strict=True):
            text[place] = piece
        result.append(Filled("".join(text), filled, weight, share))
    return result
