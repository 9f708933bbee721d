"""Labels of the letters of words, from the probabilities of a network and the counts of a lexicon.

    P(form) ~ prod_t p_t(label_t) w(form),        w(form) = 1 + a count(form)

p_t are the probabilities of the network for the letter at t, which knows the context. A form that the lexicon does not
have keeps its probability: it has the weight 1. So the counts decide where the network hesitates. This is a product of
experts (Hinton 2002); the probability of a label is the sum over all forms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.tasks.tuning import DEFAULT_TUNING, TaskTuning
from charlm.text.lexicon import Lexicon
from charlm.text.stripping import Label

Floats = npt.NDArray[np.floating[Any]]


class Choices(NamedTuple):
    """The chosen labels (n,) by their numbers, and their probabilities (n,)."""

    labels: Ids
    probabilities: Floats


class WordLabels:
    """Chooses the labels of a text.

    A letter form is the part of a label that a lexicon tells of: the letter and its marks. The network alone decides on
    its case, and on what follows it.

    Parameters
    ----------
    labels : sequence of Label
        The labels that the network predicts, by their numbers.
    lexicon : Lexicon
        Counts of the forms of words.
    tuning : TaskTuning
        How much the counts weigh.
    """

    def __init__(self, labels: Sequence[Label], lexicon: Lexicon, tuning: TaskTuning = DEFAULT_TUNING) -> None:
        letters = [label._replace(is_upper=False, trailing="") for label in labels]
        self._numbers = {letter: number for number, letter in enumerate(dict.fromkeys(letters))}
        self._letter_of = np.array([self._numbers[letter] for letter in letters])  # (L,)
        self._lexicon, self._tuning = lexicon, tuning
        self._forms = lru_cache(tuning.words_in_memory)(self._find_forms)

    def choose(self, probs: Array, words: Iterable[tuple[int, str]]) -> Choices:
        """Return the most probable labels.

        Parameters
        ----------
        probs : array (n, L)
            Probabilities of the labels of each character.
        words : iterable of (int, str)
            Index of the first character, and the stripped characters, of each word.
        """
        labels = probs.argmax(axis=1)
        probabilities = np.take_along_axis(probs, labels[:, None], axis=1)[:, 0].astype(float)
        if self._lexicon:
            by_letter = probs @ (self._letter_of[:, None] == np.arange(len(self._numbers)))  # (n, letter forms)
            for start, word in words:
                self._choose(start, word, by_letter, Choices(labels, probabilities), probs)
        return Choices(labels, probabilities)

    def _choose(self, start: int, word: str, by_letter: Floats, choices: Choices, probs: Array) -> None:
        """Replace the choices of a word by those with the lexicon."""
        forms, weights = self._forms(word)
        if not len(forms):
            return
        own = by_letter[start : start + len(word)]
        steps = np.arange(len(word))
        best = self._letter_of[choices.labels[start : start + len(word)]]
        joint = own[steps, forms].prod(axis=1)  # (forms,)
        gains = joint * (weights - 1)
        is_best = (forms == best).all(axis=1)
        if not is_best.any():
            forms, joint = np.vstack([forms, best]), np.append(joint, own[steps, best].prod())
            weights, gains = np.append(weights, 1.0), np.append(gains, 0.0)
        chosen = forms[(joint * weights).argmax()]
        marginals = (own[steps, chosen] + gains @ (forms == chosen)) / (1 + gains.sum())
        for step, letter in enumerate(chosen):
            index = start + step
            if letter != best[step]:
                choices.labels[index] = np.where(self._letter_of == letter, probs[index], -1.0).argmax()
            within = probs[index, choices.labels[index]] / max(own[step, letter], np.finfo(float).tiny)
            choices.probabilities[index] = min(1.0, marginals[step] * within)

    def _find_forms(self, word: str) -> tuple[Ids, Floats]:
        """Return the letter forms (F, n) of each form of a word that the network can predict, and the weights (F,)."""
        known = [
            ([self._numbers[label] for label in form.labels], form.frequency)
            for form in self._lexicon.forms(word)
            if all(label in self._numbers for label in form.labels)
        ]
        counts = np.array([count for _, count in known], float)
        return np.array([letters for letters, _ in known], int), 1 + self._tuning.occurrence_weight * counts
