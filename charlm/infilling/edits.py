"""Edits of a text that undo a slip: which ones are promising, and what each gains.

An edit replaces some tokens by others. Its gain is a difference of pseudo-log-likelihoods of the tokens near it:

    gain = PLL(text with the edit) - PLL(text) + log prior of its kind

There are many edits to compare, so those with the largest estimates are compared. The estimates need one reading of the
text, unchanged: the states of a bidirectional network on both sides of a position predict a token in place of the one
there, before it, or in place of it and the next one. Their weights are fitted to the gains of edits of English lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids, Mask
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.tuning import InfillingTuning
from charlm.text.vocabulary import Vocabulary


class Edit(NamedTuple):
    """A change of a text.

    Attributes
    ----------
    kind : {"substitution", "insertion", "deletion", "transposition"}
        What the change does.
    start, stop : int
        Bounds of the tokens that are replaced, from 0; equal for an insertion.
    new : tuple of int
        The tokens that replace them; empty for a deletion.
    """

    kind: str
    start: int
    stop: int
    new: tuple[int, ...]

    def apply(self, ids: Ids) -> Ids:
        """Return the changed text, (n,)."""
        return np.concatenate([ids[: self.start], np.array(self.new, ids.dtype), ids[self.stop :]])

    def shifted(self, offset: int) -> Edit:
        """Return the same change at a later position."""
        return self._replace(start=self.start + offset, stop=self.stop + offset)


def promising_edits(
    reader: BidirectionalReader, window: Ids, is_allowed: Mask, tuning: InfillingTuning
) -> Iterator[Edit]:
    """Yield the edits of a window with the largest estimates of their gains, some of each kind.

    No two of them have the same result. In a model of words they are substitutions.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    window : ndarray of int, (n,)
        A part of a text. EOS is never changed; neither EOS nor UNK is inserted.
    is_allowed : ndarray of bool, (n + 1,)
        Whether an edit may start at a position.
    tuning : InfillingTuning
        The number of edits of each kind.
    """
    vocabulary = reader.vocabulary
    never = [vocabulary.eos, *vocabulary.never_drawn]
    ids = np.append(window, vocabulary.eos)  # (n + 1,), as all arrays below
    is_token = ids != vocabulary.eos
    if vocabulary.unit == "word":
        in_place = reader.log_probs(ids[:, None])[:, :, 0]
    else:
        in_place, before, for_two = reader.log_probs_around(window)
    actual = np.where(is_token, in_place[np.arange(len(ids)), ids], 0)
    in_place[:, never] = -np.inf
    yield from substitutions(ids, actual, in_place, is_allowed & is_token, tuning)
    if vocabulary.unit == "word":
        return
    before[:, never] = -np.inf
    yield from insertions(ids, actual, before, is_allowed, tuning)
    yield from deletions(ids, actual, for_two, is_allowed & is_token, tuning)
    yield from transpositions(ids, actual, before, is_allowed & is_token & at_offset(is_token, 1), tuning)


def substitutions(
    ids: Ids, actual: Array, in_place: Array, is_allowed: Mask, tuning: InfillingTuning
) -> Iterator[Edit]:
    """Yield the most promising substitutions: the new token is more probable than the old one."""
    gains = in_place - actual[:, None]
    gains[np.arange(len(ids)), ids] = -np.inf
    gains[~is_allowed] = -np.inf
    for start, token in largest(gains, tuning.substitution.max_edits):
        yield Edit("substitution", start, start + 1, (token,))


def insertions(ids: Ids, actual: Array, before: Array, is_allowed: Mask, tuning: InfillingTuning) -> Iterator[Edit]:
    """Yield the most promising insertions: the token is probable, and both neighbours are improbable without it."""
    gains = before - 0.3 * (actual + at_offset(actual, -1))[:, None]
    gains[np.arange(1, len(ids)), ids[:-1]] = -np.inf  # the insertion before an equal token has the same result
    gains[~is_allowed] = -np.inf
    for start, token in largest(gains, tuning.insertion.max_edits):
        yield Edit("insertion", start, start, (token,))


def deletions(ids: Ids, actual: Array, for_two: Array, is_allowed: Mask, tuning: InfillingTuning) -> Iterator[Edit]:
    """Yield the most promising deletions; the estimate has the exact terms of the token and of both neighbours."""
    t, is_token = np.arange(len(ids)), ids != Vocabulary.eos
    after = for_two[t, at_offset(ids, 1)] - at_offset(actual, 1)
    earlier = at_offset(for_two, -1)[t, at_offset(ids, -1)] - at_offset(actual, -1)
    after[~at_offset(is_token, 1)] = earlier[~at_offset(is_token, -1)] = 0
    gains = after + earlier - actual
    gains[~is_allowed | (ids == at_offset(ids, 1))] = -np.inf  # the deletion of the next token has the same result
    for start, _ in largest(gains[:, None], tuning.deletion.max_edits):
        yield Edit("deletion", start, start + 1, ())


def transpositions(ids: Ids, actual: Array, before: Array, is_allowed: Mask, tuning: InfillingTuning) -> Iterator[Edit]:
    """Yield the most promising transpositions: both tokens are improbable, and each is probable beyond the other."""
    t = np.arange(len(ids))
    moved = before[t, at_offset(ids, 1)] + at_offset(before, 2)[t, ids]
    gains = 0.25 * np.maximum(moved, -1e9) - actual - at_offset(actual, 1)
    gains[~is_allowed | (ids == at_offset(ids, 1))] = -np.inf
    for start, _ in largest(gains[:, None], tuning.transposition.max_edits):
        yield Edit("transposition", start, start + 2, (int(ids[start + 1]), int(ids[start])))


def at_offset(values: npt.NDArray[Any], offset: int) -> npt.NDArray[Any]:
    """Return values[t + offset] for each row t; 0 outside of the array."""
    result = np.zeros_like(values)
    if offset > 0:
        result[:-offset] = values[offset:]
    else:
        result[-offset:] = values[:offset]
    return result


def largest(values: Array, count: int) -> Iterator[tuple[int, int]]:
    """Yield the row and the column of the `count` largest values above -inf, in no particular order."""
    flat = values.ravel()
    for index in np.argpartition(-flat, min(count, flat.size - 1))[:count].tolist():
        if flat[index] > -np.inf:
            yield divmod(index, values.shape[1])


def gains_of(reader: BidirectionalReader, ids: Ids, edits: list[Edit], tuning: InfillingTuning) -> list[float]:
    """Return the gain of each edit, in nats.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    ids : ndarray of int, (n,)
        The text.
    edits : list of Edit
        Edits of the text, not of each other's results.
    tuning : InfillingTuning
        The number of tokens near an edit, and the prior of each kind.
    """
    context, eos = tuning.context, reader.vocabulary.eos
    end = np.full(context + 1, eos, ids.dtype)
    padded = np.concatenate([end[1:], ids, end])
    starts = {start: column for column, start in enumerate(dict.fromkeys(edit.start for edit in edits))}
    parts = [padded[start : start + 2 * context + 1] for start in starts]
    for kind, start, stop, new in edits:
        parts.append(Edit(kind, context, context + stop - start, new).apply(parts[starts[start]]))
    columns = np.full((2 * context + 2, len(parts)), eos, np.intp)  # EOS after a part does not change its likelihood
    for column, part in enumerate(parts):
        columns[: len(part), column] = part
    likelihoods = reader.pseudo_log_likelihoods(columns).tolist() if edits else []
    return [
        likelihood - likelihoods[starts[edit.start]] + getattr(tuning, edit.kind).log_prior
        for edit, likelihood in zip(edits, likelihoods[len(starts) :], strict=True)
    ]
