"""Proof-reading: words that do not fit the text around them, and better ones.

A word is a suspect if an edit of one token, or of two neighbours, gains: see `charlm.infilling.edits`. The best edit of
a word decides; others of the same word are further proposals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charlm.arrays import Ids
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.edits import Edit, gains_of, promising_edits
from charlm.infilling.tuning import DEFAULT_TUNING, InfillingTuning
from charlm.nn.functional import softmax
from charlm.text.bidirectional import gather_windows
from charlm.text.vocabulary import Vocabulary
from charlm.text.words import changed_span, cut_between_words


class Proposal(NamedTuple):
    """Another text for a word that does not fit.

    Attributes
    ----------
    replacement : str
        The text in place of the word.
    probability : float
        The probability of this edit among all that were compared and no change.
    kind : {"substitution", "insertion", "deletion", "transposition"}
        What the edit does.
    character : str
        The token that the edit puts at its position; empty for a deletion.
    """

    replacement: str
    probability: float
    kind: str
    character: str


@dataclass(frozen=True)
class Suspect:
    """A word that does not fit.

    Attributes
    ----------
    index : int
        The position of the best edit in tokens, from 0.
    character : str
        The token there; empty at the end of the text.
    gain : float
        The gain of the best edit in nats.
    start : int
        The position of the first token of the word.
    word : str
        The word, or the words that the best edit joins; for other characters, these alone.
    proposals : tuple of Proposal
        The best edits of the word, the best first. The remaining probability is that of no change and of other edits.
    """

    index: int
    character: str
    gain: float
    start: int
    word: str
    proposals: tuple[Proposal, ...]

    @property
    def kind(self) -> str:
        """What the best edit does."""
        return self.proposals[0].kind

    @property
    def replacement(self) -> str:
        """The best text in place of the word."""
        return self.proposals[0].replacement

    @property
    def candidates(self) -> tuple[tuple[str, float], ...]:
        """The character and the probability of each proposal."""
        return tuple((proposal.character, proposal.probability) for proposal in self.proposals)


class ScoredEdit(NamedTuple):
    """An edit with its gain in nats, and the bounds of the words that it changes, in tokens."""

    gain: float
    edit: Edit
    start: int
    stop: int


def suspects(
    reader: BidirectionalReader, text: str, *, min_gain: float = 0.0, tuning: InfillingTuning = DEFAULT_TUNING
) -> Iterator[Suspect]:
    """Yield the suspects of a text, in order; no two share a word.

    Parameters
    ----------
    reader : BidirectionalReader
        The model.
    text : str
        The text. EOS is never replaced; neither EOS nor UNK is proposed. A model of words substitutes words only.
    min_gain : float
        Suspects whose best edit gains more than this, in nats, are yielded.
    tuning : InfillingTuning
        Sizes of the windows and of the search.
    """
    vocabulary = reader.vocabulary
    tokens, ids = vocabulary.split(text), vocabulary.encode(text).astype(np.intp)
    end = 0
    if not tokens:
        return
    for start, stop in windows_of(tokens, tuning):
        edits = edits_of_window(reader, ids, start, stop, tuning)
        gains = gains_of(reader, ids, edits, tuning)
        scored = [
            ScoredEdit(gain, edit, *span_of(edit, tokens, vocabulary)) for gain, edit in zip(gains, edits, strict=True)
        ]
        for best in best_of_words(scored, min_gain):
            if best.start >= end:
                yield suspect_of(best, proposals_of(best, scored, tokens, vocabulary)[: tuning.max_proposals], tokens)
                end = best.stop


def windows_of(tokens: Sequence[str], tuning: InfillingTuning) -> Iterable[tuple[int, int]]:
    """Return the bounds of the windows of a text, in tokens; no word is cut unless it is longer than a window."""
    if isinstance(tokens, str):
        bounds = cut_between_words(tokens, tuning.proof_window)
    else:
        bounds = [*range(0, len(tokens), tuning.proof_window), len(tokens)]
    return pairwise(bounds)


def edits_of_window(
    reader: BidirectionalReader, ids: Ids, start: int, stop: int, tuning: InfillingTuning
) -> list[Edit]:
    """Return the most promising edits that start in a window of a text, (n,)."""
    first = start - tuning.margin  # position of the first token that is read
    window, _ = gather_windows(ids, np.array([first]), stop - start + 2 * tuning.margin - 1)
    is_inner = np.zeros(len(window) + 1, bool)
    is_inner[tuning.margin : tuning.margin + stop - start + (stop == len(ids))] = True
    return [edit.shifted(first) for edit in promising_edits(reader, window[:, 0], is_inner, tuning)]


def span_of(edit: Edit, tokens: Sequence[str], vocabulary: Vocabulary) -> tuple[int, int]:
    """Return the bounds of the words that an edit changes, in tokens; a token of a model of words is a word."""
    if isinstance(tokens, str):
        return changed_span(tokens, edit.start, edit.stop, "".join(names_of(edit, tokens, vocabulary)))
    return edit.start, edit.stop


def best_of_words(edits: Iterable[ScoredEdit], min_gain: float) -> list[ScoredEdit]:
    """Return the edits with the largest gains above `min_gain` such that no two change one word, in order."""
    chosen: list[ScoredEdit] = []
    for edit in sorted(edits, key=lambda edit: -edit.gain):
        if edit.gain > min_gain and all(edit.stop <= other.start or edit.start >= other.stop for other in chosen):
            chosen.append(edit)
    return sorted(chosen, key=lambda edit: edit.start)


def proposals_of(
    best: ScoredEdit, edits: Iterable[ScoredEdit], tokens: Sequence[str], vocabulary: Vocabulary
) -> list[Proposal]:
    """Return all edits of the words that the best one changes, the best first."""
    within = [edit for edit in edits if best.start <= edit.start and edit.stop <= best.stop]
    within.sort(key=lambda edit: -edit.gain)
    probabilities = softmax([0.0, *(edit.gain for edit in within)])[1:]
    proposals = []
    for (_, edit, _, _), probability in zip(within, probabilities, strict=True):
        new = names_of(edit, tokens, vocabulary)
        text = "".join([*tokens[best.start : edit.start], *new, *tokens[edit.stop : best.stop]])
        proposals.append(Proposal(text, probability, edit.kind, new[0] if new else ""))
    return proposals


def suspect_of(best: ScoredEdit, proposals: Sequence[Proposal], tokens: Sequence[str]) -> Suspect:
    """Return the words that an edit changes, with proposals."""
    index = best.edit.start
    word = "".join(tokens[best.start : best.stop])
    return Suspect(index, "".join(tokens[index : index + 1]), best.gain, best.start, word, tuple(proposals))


def names_of(edit: Edit, tokens: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Return the tokens that an edit puts into the text; those that it transposes are tokens of the text."""
    if edit.kind == "transposition":
        return list(tokens[edit.start : edit.stop])[::-1]
    return [vocabulary.tokens[token] for token in edit.new]
