"""Score the single characters of a text, with the most probable alternatives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import CausalModel
from charlm.inference.prompt import read_prompt
from charlm.scoring.score import CharScore
from charlm.scoring.text_batch import encode_batch
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning
from charlm.text.vocabulary import Vocabulary


def score_characters(
    network: CausalModel,
    vocabulary: Vocabulary,
    text: str,
    *,
    end: bool = False,
    context: str = "",
    alternatives: int = 5,
    tuning: ScoringTuning = DEFAULT_TUNING,
) -> Iterator[CharScore]:
    """Yield the score of each character of a text, in order.

    Parameters
    ----------
    network, vocabulary, text, context : as in `score_texts`, for one text.
    end : whether to score EOS after the text, as a last character.
    alternatives : number of other characters that are reported with each, 0 or more; the most probable ones.
    tuning : sizes that determine the speed and the memory.

    Notes
    -----
    The memory grows with the text by a few bytes per character.
    """
    last_id, state = read_prompt(network, vocabulary, context)
    batch = encode_batch([text], vocabulary, last_id, end=end)
    length = max(1, min(tuning.max_window_ids, tuning.max_log_probs // len(vocabulary)))
    pieces = _pieces(vocabulary, text)
    for start in range(0, batch.targets.size, length):
        window = slice(start, start + length)
        log_probs, state = network.predict(batch.inputs[window, None], state)
        yield from _char_scores(log_probs[:, :, 0], batch.targets[window], vocabulary, pieces, alternatives)


def _char_scores(
    log_probs: Array, targets: Ids, vocabulary: Vocabulary, pieces: Iterator[tuple[str, int]], alternatives: int
) -> Iterator[CharScore]:
    """Yield the scores of T characters.

    log_probs: (T, V), overwritten.  targets: (T,).  pieces: yields the characters of the text and their offsets.
    """
    steps = np.arange(targets.size)
    at_target = log_probs[steps, targets]
    ranks = 1 + np.count_nonzero(log_probs > at_target[:, None], axis=1)
    log_probs[steps, targets] = -np.inf  # the character itself is not an alternative
    best = _largest(log_probs, min(alternatives, len(vocabulary) - 1))
    for step, (character, offset) in enumerate(islice(pieces, targets.size)):
        others = tuple((vocabulary.tokens[other], float(log_probs[step, other])) for other in best[step])
        is_unknown = bool(targets[step] == vocabulary.unk)
        yield CharScore(character, offset, float(at_target[step]), int(ranks[step]), others, is_unknown)


def _pieces(vocabulary: Vocabulary, text: str) -> Iterator[tuple[str, int]]:
    """Yield what each id of a text represents, with its offset in code points; the name of EOS at the end."""
    offset = 0
    for piece in vocabulary.split(text):
        yield piece, offset
        offset += len(piece)
    yield vocabulary.tokens[vocabulary.eos], offset


def _largest(values: Array, k: int) -> Ids:
    """Return the columns of the k largest values of each row of (T, V), the largest first: (T, k)."""
    candidates = np.argpartition(-values, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(values, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
