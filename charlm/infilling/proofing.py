"""Proof-reading: characters that do not fit their surroundings, and what would fit better.

A character is suspect if another one is more probable at its place. How much is gained by the other one is weighed
by all characters near by, for a wrong character spoils those around it, too:

    gain = PLL(text with the other character) - PLL(text), over the characters near by, in nats
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.infilling.bidirectional_reader import WINDOWS_AT_ONCE, BidirectionalReader
from charlm.text.bidirectional import gather_windows

OWN, MARGIN = 192, 64
"""Characters of a window that are examined, and that are read on either side of them."""
NEAR = 32
"""Characters on either side of a suspect that its replacement is weighed by."""
SUSPECTS = 16
"""Suspects of a window that are weighed."""
TRIED = 4
"""Characters that are tried in the place of a suspect."""


@dataclass(frozen=True)
class Suspect:
    """A character that does not fit.

    place: of the character, from 0.  character: what stands there.
    gain: what the best proposal gains, in nats.  proposals: characters with their probabilities, the best first;
    what is missing to 1 is the probability that the text is right.
    """

    place: int
    character: str
    gain: float
    proposals: tuple[tuple[str, float], ...]


def suspects(reader: BidirectionalReader, ids: Ids, *, least: float = 0.0) -> Iterator[Suspect]:
    """Yield the suspect characters of a text, in order, those whose best proposal gains more than `least` nats.

    ids: (n,); UNK is nothing to replace by, and EOS neither suspect nor proposal.
    """
    eos = reader.vocabulary.eos
    whole = np.concatenate([[eos], ids])
    for first in range(0, len(ids), OWN):
        window, is_text = gather_windows(whole, np.array([first + 1 - MARGIN]), OWN + 2 * MARGIN - 1)
        log_probs = reader.log_probs(window)[:, :, 0]
        places = candidates(reader, window[:, 0], log_probs, is_text[:, 0])
        for place, proposals in weigh(reader, whole, first, places, log_probs):
            gain = proposals[0][0]
            if gain > least:
                weights = np.exp(np.array([0.0, *(value for value, _ in proposals)]) - max(gain, 0.0))
                shares = (weights / weights.sum()).tolist()[1:]
                characters = [reader.vocabulary.tokens[k] for _, k in proposals]
                standing = reader.vocabulary.tokens[ids[place]]
                yield Suspect(place, standing, gain, tuple(zip(characters, shares, strict=True)))


def candidates(reader: BidirectionalReader, window: Ids, log_probs: Array, is_text: Mask) -> Ids:
    """Return the places of a window where another character is most clearly more probable, in order."""
    log_probs[:, [reader.vocabulary.eos, reader.vocabulary.unk]] = -np.inf
    at_place = log_probs[np.arange(len(window)), window]
    at_place[window == reader.vocabulary.unk] = -np.inf
    doubt = log_probs.max(axis=1) - at_place
    inside = np.zeros(len(window), bool)
    inside[MARGIN : MARGIN + OWN] = True
    doubt[~(inside & is_text) | (window == reader.vocabulary.eos)] = 0
    worst = np.argsort(-doubt, kind="stable")[:SUSPECTS]
    return np.sort(worst[doubt[worst] > 0])


def weigh(
    reader: BidirectionalReader, whole: Ids, first: int, places: Ids, log_probs: Array
) -> Iterator[tuple[int, list[tuple[float, int]]]]:
    """Yield each place of the text with its proposals, (gain, id), the best first.

    whole: EOS and the text.  first: place in the text of the window's own first character.
    places: in the window.  log_probs: (n, V) of the window.
    """
    if not places.size:
        return
    in_text = places - MARGIN + first
    tried = np.argsort(-log_probs[places], axis=1)[:, :TRIED]  # (places, TRIED)
    near, _ = gather_windows(whole, in_text + 1 - NEAR, 2 * NEAR)  # (2 NEAR + 1, places), the suspect in the middle
    changed = np.repeat(near, TRIED, axis=1)
    changed[NEAR] = tried.ravel()
    texts = np.concatenate([near, changed], axis=1)
    totals = np.concatenate(
        [pll(reader, texts[:, k : k + WINDOWS_AT_ONCE]) for k in range(0, texts.shape[1], WINDOWS_AT_ONCE)]
    )
    gains = totals[len(places) :].reshape(-1, TRIED) - totals[: len(places), None]
    for place, row, options, here in zip(in_text.tolist(), gains, tried, places, strict=True):
        possible = np.isfinite(log_probs[here, options])
        pairs = zip(row[possible].tolist(), options[possible].tolist(), strict=True)
        standing = int(whole[place + 1])
        ranked = sorted((pair for pair in pairs if pair[1] != standing), reverse=True)
        if ranked:
            yield place, ranked


def pll(reader: BidirectionalReader, texts: Ids) -> Array:
    """Return the pseudo-log-likelihood of each text (n, B), (B,); edges that are EOS do not count."""
    scores = reader.at_places(texts)
    scores[texts == reader.vocabulary.eos] = 0
    result: Array = scores.sum(axis=0, dtype=np.float64)
    return result
