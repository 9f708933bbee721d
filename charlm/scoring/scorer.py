"""Scoring: the log-probability of texts, many at a time, and of single characters.

Every text is read as EOS, context, text; its probability is the product over its characters of p(c_t | all
before c_t), the chain rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.scoring.score import CharScore, Score
from charlm.scoring.scoring_batch import PLACES_AT_ONCE, ScoringBatch, read_shared_prefix, scoring_batches

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.text.vocabulary import Vocabulary

VALUES_AT_ONCE = 1 << 20
"""Log-probabilities that `score_characters` holds at a time."""


def score_texts(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    texts: Iterable[str],
    *,
    end: bool = False,
    context: str = "",
    others: Sequence[PreparedNetwork] = (),
) -> Iterator[Score]:
    """Yield the score of each text, in the order of the input.

    end: whether EOS behind each text counts, as one character.  context: read before each text, not counted.
    others: more networks of the same network; each scores batches on a thread of its own.
    Texts are read ahead into scoring_batches, the first of one text, and scored in batches of similar length:
    memory is bounded, and the first score is there before the second text is asked for. Log-probabilities are
    summed in float64; batches differ from one text at a time by no more than the rounding of float32.
    """
    beginning = read_shared_prefix(runner, vocabulary, context)
    for pool in scoring_batches(texts, vocabulary, beginning, end):
        log_probs = pool.log_probs([runner, *others])
        yield from _sums(pool, log_probs, vocabulary.unk)


def _sums(pool: ScoringBatch, log_probs: npt.NDArray[np.float64], unk: int) -> Iterator[Score]:
    is_unknown = pool.ids == unk
    totals = pool.sums(log_probs).tolist()
    unknown = pool.sums(is_unknown.astype(np.int64)).tolist()
    unknown_totals = pool.sums(np.where(is_unknown, log_probs, 0.0)).tolist()
    counts = pool.counts.tolist()
    yield from map(Score, counts, unknown, totals, unknown_totals, pool.texts)


def score_characters(
    runner: PreparedNetwork,
    vocabulary: Vocabulary,
    text: str,
    *,
    end: bool = False,
    context: str = "",
    alternatives: int = 5,
) -> Iterator[CharScore]:
    """Yield the score of each character of one text, in order; the end as a last one, if `end` is set.

    alternatives: how many other characters are named with each, the most probable ones; >= 0.
    The memory needed grows with the text, but only by a few bytes for each of its characters.
    """
    beginning = read_shared_prefix(runner, vocabulary, context)
    pool = ScoringBatch([text], vocabulary, beginning, end)
    state = beginning.state
    steps = max(1, min(PLACES_AT_ONCE, VALUES_AT_ONCE // len(vocabulary)))
    places = _places(vocabulary, text)
    for start in range(0, len(pool.ids), steps):
        span = slice(start, start + steps)
        log_probs, state = runner.predict(pool.inputs[span, None], state)
        yield from _char_scores(log_probs[:, :, 0], pool.ids[span], vocabulary, places, alternatives)


def _char_scores(
    log_probs: Array, ids: Ids, vocabulary: Vocabulary, places: Iterator[tuple[str, int]], alternatives: int
) -> Iterator[CharScore]:
    """Score a run of T characters.

    log_probs: (T, V), overwritten.  ids: (T,).  places: yields the characters from the first of them on.
    """
    steps = np.arange(len(ids))
    reached = log_probs[steps, ids]
    ranks = 1 + np.count_nonzero(log_probs > reached[:, None], axis=1)
    log_probs[steps, ids] = -np.inf  # a character is no alternative to itself
    best = _greatest(log_probs, min(alternatives, len(vocabulary) - 1))
    tokens = vocabulary.tokens
    for step, (character, offset) in enumerate(islice(places, len(ids))):
        others = tuple((tokens[other], float(log_probs[step, other])) for other in best[step])
        is_unknown = bool(ids[step] == vocabulary.unk)
        yield CharScore(character, offset, float(reached[step]), int(ranks[step]), others, is_unknown)


def _places(vocabulary: Vocabulary, text: str) -> Iterator[tuple[str, int]]:
    """Yield what stands at each place, with its offset in code points; EOS's name for the end."""
    offset = 0
    for piece in vocabulary.split(text):
        yield piece, offset
        offset += len(piece)
    yield vocabulary.tokens[vocabulary.eos], offset


def _greatest(values: Array, k: int) -> Ids:
    """Return the columns of the k greatest values of each row of (T, V), greatest first: (T, k)."""
    if k <= 0:
        return np.empty((len(values), 0), np.intp)
    candidates = np.argpartition(-values, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(values, candidates, axis=1), axis=1, kind="stable")
    return np.take_along_axis(candidates, order, axis=1)
