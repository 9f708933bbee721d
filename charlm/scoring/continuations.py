"""What a model expects next: the distribution of the next character, and the most probable next words."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from charlm.arrays import Array, Ids
from charlm.inference.interface import CausalModel
from charlm.inference.prompt import read_prompt
from charlm.nn.base import NetworkState
from charlm.nn.functional import log_softmax
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning
from charlm.text.vocabulary import Vocabulary

Beginning = tuple[float, int, str, int | None, NetworkState | None]
"""-log p, a number in order of creation, the text, its last token and the state before that; None for whole words."""


@dataclass(frozen=True)
class Continuation:
    """What may follow a prompt.

    Attributes
    ----------
    text : the characters that follow the prompt; the name of the token for EOS and UNK, "" for the end of the word that
        the prompt ends with.
    log_prob : log-probability in nats, given the prompt.
    word : for a word, the whole word, with the part of it that is in the prompt; otherwise `text`.
    """

    text: str
    log_prob: float
    word: str

    @property
    def probability(self) -> float:
        """The probability, given the prompt."""
        return math.exp(self.log_prob)


@dataclass(frozen=True)
class Next:
    """What a model expects after a prompt.

    Attributes
    ----------
    characters : every token of the vocabulary, the most probable first. Their probabilities sum to 1.
    words : the most probable next words, the most probable first. A word ends before the next character that cannot be
        in it; a character that cannot be in a word, such as a space, is a word by itself. Of a model of words, its
        most probable tokens.
    is_exact : whether no other word is more probable than these; False if the search was stopped.
    """

    characters: tuple[Continuation, ...]
    words: tuple[Continuation, ...]
    is_exact: bool = True


def is_word_character(character: str) -> bool:
    """Return whether a character may be in a word: letters, digits, combining marks, apostrophes, underscores."""
    return character.isalnum() or character in "_'\u2019" or unicodedata.category(character).startswith("M")


def expect_next(
    network: CausalModel, vocabulary: Vocabulary, prompt: str, *, words: int, tuning: ScoringTuning = DEFAULT_TUNING
) -> Next:
    """Return the distribution of the next character after a prompt, and the most probable next words.

    Parameters
    ----------
    network : computes the probabilities.
    vocabulary : encodes the prompt; unknown characters are read as UNK.
    prompt : may be empty.
    words : number of words, 0 or more.
    tuning : limits of the search.
    """
    start = read_prompt(network, vocabulary, prompt)
    logits, state = network.step(np.array([start.last_id]), start.state)
    log_probs = log_softmax(logits.astype(np.float64))[0]
    order = np.argsort(-log_probs, kind="stable")
    names = [vocabulary.tokens[i] for i in order]
    words_of = names if vocabulary.unit == "char" else [name.lstrip(" ") or name for name in names]
    characters = tuple(
        Continuation(name, float(log_probs[i]), word) for i, name, word in zip(order, names, words_of, strict=True)
    )
    if vocabulary.unit == "word":
        return Next(characters, characters[:words])
    search = WordSearch(network, vocabulary, prompt, tuning)
    found: list[Continuation] = []
    for continuation in search.run(log_probs, state):
        if len(found) == words:
            break
        found.append(continuation)
    return Next(characters, tuple(found), search.is_exact)


class WordSearch:
    """A best-first search for the most probable next words.

    The probability of the beginning of a word bounds those of all words that begin with it. So a word that is at least
    as probable as every open beginning is the next one of the result, which is exact.

    Parameters
    ----------
    network, vocabulary, prompt : as for `expect_next`.
    tuning : limits of the search.
    """

    def __init__(self, network: CausalModel, vocabulary: Vocabulary, prompt: str, tuning: ScoringTuning) -> None:
        tokens = vocabulary.tokens
        self.is_exact = True
        self._network, self._tokens, self._tuning = network, tokens, tuning
        can_be_inside = [len(token) == 1 and is_word_character(token) for token in tokens]
        self._inside: Ids = np.flatnonzero(can_be_inside)
        outside = np.logical_not(can_be_inside)
        outside[vocabulary.unk] = False  # it may be a character of a word or not
        self._outside: Ids = np.flatnonzero(outside)
        begun = len(prompt)
        while begun and is_word_character(prompt[begun - 1]):
            begun -= 1
        self._begun = prompt[begun:]
        self._heap: list[Beginning] = []
        self._pushed = 0

    def run(self, log_probs: Array, state: NetworkState) -> Iterator[Continuation]:
        """Yield words, the most probable first, from the distribution (V,) after the prompt and the state there."""
        self._extend("", 0.0, log_probs, state, may_end=bool(self._begun))
        if not self._begun:  # each character outside of words is a word by itself
            for token in self._outside.tolist():
                self._push(float(log_probs[token]), self._tokens[token], None, None)
        expanded = 0
        while self._heap:
            if self._heap[0][3] is None:
                log_prob, _, text, *_ = heappop(self._heap)
                yield Continuation(text, -log_prob, self._begun + text)
            elif expanded >= self._tuning.max_expanded:
                self.is_exact = False
                self._heap = [entry for entry in self._heap if entry[3] is None]
                heapify(self._heap)
            else:
                expanded += self._expand()

    def _push(self, log_prob: float, text: str, token: int | None, state: NetworkState | None) -> None:
        """Add a word, or with a token and the state before it the beginning of one."""
        self._pushed += 1  # equal probabilities keep their order
        heappush(self._heap, (-log_prob, self._pushed, text, token, state))

    def _extend(self, text: str, log_prob: float, log_probs: Array, state: NetworkState, *, may_end: bool) -> None:
        """Add the beginnings that are one character longer, and the word that ends here."""
        if may_end and self._outside.size:
            self._push(log_prob + float(np.logaddexp.reduce(log_probs[self._outside])), text, None, None)
        for token in self._inside.tolist():
            self._push(log_prob + float(log_probs[token]), text + self._tokens[token], token, state)

    def _expand(self) -> int:
        """Read the last character of the most probable beginnings in one batch; return their number."""
        batch: list[Beginning] = []
        while self._heap and self._heap[0][3] is not None and len(batch) < self._tuning.beginnings_per_step:
            batch.append(heappop(self._heap))
        ids = np.array([entry[3] for entry in batch])
        states = [entry[4] for entry in batch if entry[4] is not None]
        joined = [
            tuple(np.concatenate(arrays) for arrays in zip(*layers, strict=True))
            for layers in zip(*states, strict=True)
        ]
        logits, state = self._network.step(ids, joined)
        log_probs = log_softmax(logits.astype(np.float64))
        for row, (bound, _, text, *_) in enumerate(batch):
            own = self._network.select(state, slice(row, row + 1))
            self._extend(text, -bound, log_probs[row], own, may_end=True)
        return len(batch)
