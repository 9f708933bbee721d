"""Proof-reading: tokens that do not fit the text around them, and better ones.

A token is a suspect if another one is more probable given all others. A wrong token makes those around it improbable,
too, so its candidates are compared by the probability of all of them:

    gain = PLL(text with the candidate) - PLL(text), over the tokens near the suspect, in nats
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array, Ids, Mask
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.tuning import DEFAULT_TUNING, InfillingTuning
from charlm.nn.functional import softmax
from charlm.text.bidirectional import gather_windows
from charlm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Suspect:
    """A token that does not fit.

    Attributes
    ----------
    index : int
        Its position in tokens, from 0.
    character : str
        The token.
    gain : float
        The gain of the best candidate in nats.
    candidates : tuple of (str, float)
        Other tokens and their probabilities, the best first. The remaining probability is that of no change.
    """

    index: int
    character: str
    gain: float
    candidates: tuple[tuple[str, float], ...]


def suspects(
    reader: BidirectionalReader, ids: Ids, *, min_gain: float = 0.0, tuning: InfillingTuning = DEFAULT_TUNING
) -> Iterator[Suspect]:
    """Yield the suspects of a text, in order.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    ids : ndarray of int, (n,)
        The text. EOS is never a suspect; neither EOS nor UNK is a candidate.
    min_gain : float
        Suspects whose best candidate gains more than this, in nats, are yielded.
    tuning : InfillingTuning
        Sizes of the windows and of the search.
    """
    vocabulary = reader.vocabulary
    text = np.concatenate([[vocabulary.eos], ids])
    for start in range(0, len(ids), tuning.proof_window):
        first = start - tuning.margin  # position of the first token of the window
        steps = tuning.proof_window + 2 * tuning.margin
        window, is_text = gather_windows(text, np.array([first + 1]), steps - 1)
        log_probs = reader.log_probs(window)[:, :, 0]
        log_probs[:, [vocabulary.eos, vocabulary.unk]] = -np.inf
        found = find_suspects(vocabulary, window[:, 0], log_probs, is_text[:, 0], tuning)
        if not found.size:
            continue
        indices = found + first
        candidates = np.argsort(-log_probs[found], axis=1)[:, : min(tuning.max_candidates, len(vocabulary) - 2)]
        gains = gains_of(reader, text, indices, candidates, tuning)
        for index, *row in zip(indices.tolist(), gains.tolist(), candidates.tolist(), strict=True):
            ranked = sorted(zip(*row, strict=True), reverse=True)
            ranked = [(gain, token) for gain, token in ranked if token != ids[index]]
            if ranked and ranked[0][0] > min_gain:
                probabilities = softmax([0.0, *(gain for gain, _ in ranked)])[1:]
                names = [vocabulary.tokens[token] for _, token in ranked]
                character = vocabulary.tokens[ids[index]]
                yield Suspect(index, character, ranked[0][0], tuple(zip(names, probabilities, strict=True)))


def find_suspects(vocabulary: Vocabulary, window: Ids, log_probs: Array, is_text: Mask, tuning: InfillingTuning) -> Ids:
    """Return the positions in a window of the tokens with the most probable replacements, in order.

    Parameters
    ----------
    vocabulary : Vocabulary
        The tokens.
    window : ndarray of int, (n,)
        The window with its margins.
    log_probs : ndarray, (n, V)
        log p of each token at each position; -inf for EOS and UNK.
    is_text : ndarray of bool, (n,)
        Whether a position is inside the text.
    tuning : InfillingTuning
        The margin, and the number of suspects.
    """
    log_ratios = log_probs.max(axis=1) - log_probs[np.arange(len(window)), window]
    is_inner = np.zeros(len(window), bool)
    is_inner[tuning.margin : tuning.margin + tuning.proof_window] = True
    log_ratios[~(is_inner & is_text) | (window == vocabulary.eos)] = 0
    worst = np.argsort(-log_ratios, kind="stable")[: tuning.max_suspects]
    return np.sort(worst[log_ratios[worst] > 0])


def gains_of(reader: BidirectionalReader, text: Ids, indices: Ids, candidates: Ids, tuning: InfillingTuning) -> Array:
    """Return the gain of each candidate in nats, (suspects, candidates).

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    text : ndarray of int, (n + 1,)
        EOS and the text.
    indices : ndarray of int, (suspects,)
        Positions of the suspects in the text, from 0.
    candidates : ndarray of int, (suspects, candidates)
        Their candidates.
    tuning : InfillingTuning
        The number of tokens near a suspect.
    """
    near, _ = gather_windows(text, indices + 1 - tuning.context, 2 * tuning.context)  # suspects in the middle row
    changed = np.repeat(near, candidates.shape[1], axis=1)
    changed[tuning.context] = candidates.ravel()
    weights = reader.pseudo_log_likelihoods(np.concatenate([near, changed], axis=1))
    gains: Array = weights[len(indices) :].reshape(candidates.shape) - weights[: len(indices), None]
    return gains
