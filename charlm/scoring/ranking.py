"""Compare texts under one model, and models on one text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import Protocol

from charlm.checks import check, check_texts, check_weights
from charlm.config import TextConfig
from charlm.errors import ConfigError
from charlm.inference.interface import CausalModel
from charlm.kernels.threads import cores_for
from charlm.nn.functional import softmax
from charlm.scoring.score import Score
from charlm.scoring.scorer import score_texts
from charlm.text.quoting import quoted
from charlm.text.reading import normalize_text
from charlm.text.vocabulary import EOS, UNK, Vocabulary


class Model(Protocol):
    """The attributes of a `LanguageModel` that `classify` uses."""

    vocabulary: Vocabulary
    """Encodes text."""
    text: TextConfig
    """How text becomes tokens."""

    @property
    def prepared(self) -> CausalModel:
        """The network, prepared for inference."""


def rank(scores: Iterable[Score]) -> list[tuple[float, Score]]:
    """Sort scores by probability, the most probable text first.

    Returns
    -------
    list of (float, Score)
        Each score with its probability relative to all of them: p(text) / sum of p over the texts. These sum to 1.
        Scores with equal probabilities keep their order.
    """
    unsorted = list(scores) if isinstance(scores, Iterable) else [scores]
    are_scores = all(isinstance(score, Score) for score in unsorted)
    check(are_scores, "scores", scores, "scores, such as those of `score_many`")
    relative = softmax([score.log_prob for score in unsorted])
    return sorted(zip(relative, unsorted, strict=True), key=lambda pair: -pair[1].log_prob)


@dataclass(frozen=True, repr=False)
class Classification:
    """The probabilities of several models for one text.

    Attributes
    ----------
    text : as it was given.
    log_probs : ln p(text | model) of each model in nats, with the probability of UNK divided by `unseen_characters`.
    posterior : p(model | text) of each model; they sum to 1.
    """

    text: str
    log_probs: tuple[float, ...]
    posterior: tuple[float, ...]

    def __repr__(self) -> str:
        posterior = ", ".join(f"{probability:.2%}" for probability in self.posterior)
        return f"<Classification {quoted(self.text)}, model {self.best} is the most probable of {posterior}>"

    @property
    def best(self) -> int:
        """The index of the most probable model; of several, the first."""
        return max(range(len(self.posterior)), key=self.posterior.__getitem__)


def classify(
    models: Sequence[Model],
    texts: Iterable[str],
    *,
    priors: Sequence[float] | None = None,
    end: bool | None = None,
    context: str = "",
    threads: int | None = None,
) -> Iterator[Classification]:
    """Yield the posterior probabilities of models for each text, in order, by Bayes' rule.

    p(model | text) = p(text | model) p(model) / sum of p(text | m) p(m) over the models m.

    Parameters
    ----------
    models : one or more, all of characters or all of words.
    texts : any number of texts.
    priors : p(model) of each model up to a common factor, 0 or more, not all 0; None for equal priors.
    end : whether EOS after each text counts; None for True if all models were trained on lines.
    context : text that is read before each text and not counted.
    threads : cores for batches of texts; 0 or None (default) for all that this process may use.

    Raises
    ------
    ConfigError
        If there is no model, a prior is invalid, or models of characters and of words are mixed.

    Notes
    -----
    Models with different vocabularies are compared over one alphabet: the probability of UNK is divided by the number
    of characters that `unseen_characters` returns.
    """
    check(isinstance(models, Sequence), "models", models, "a list of models")
    check_texts(texts)
    log_priors = _log_priors(len(models), priors)
    log_unseen = [math.log(count) for count in unseen_characters([model.vocabulary for model in models])]
    if end is None:
        end = all(model.text.lines for model in models)
    copies, cores = tee(texts, len(models)), cores_for(threads)
    scores = [_scores(model, copy, end, context, cores) for model, copy in zip(models, copies, strict=True)]
    return (_classification(of_models, log_unseen, log_priors) for of_models in zip(*scores, strict=True))


def unseen_characters(vocabularies: Sequence[Vocabulary]) -> list[int]:
    """Return for each vocabulary the number of characters over which the probability of UNK is distributed.

    Returns
    -------
    list of int
        1 for each vocabulary if all vocabularies are equal.

    Raises
    ------
    ConfigError
        If some vocabularies are of characters and others of words.

    Notes
    -----
    All models are extended to one alphabet: every character that any of them knows, and one symbol for all characters
    that none of them knows. In each model, the probability of UNK is divided equally among that symbol and the
    characters of this alphabet that the model does not know. So every model is a distribution over the same texts, as
    Bayes' rule requires, and no model gains by knowing fewer characters.
    """
    if len({vocabulary.unit for vocabulary in vocabularies}) > 1:
        raise ConfigError("models of characters and of words cannot be compared; use models of one unit")
    known = [_known_tokens(vocabulary) for vocabulary in vocabularies]
    alphabet = frozenset[str]().union(*known)
    return [len(alphabet - tokens) + 1 for tokens in known]


def _known_tokens(vocabulary: Vocabulary) -> set[str]:
    """Return the tokens of text, including the newline if it is read as the end of a line."""
    newline = ["\n"] if vocabulary.eos in vocabulary.encode("\n") else []
    return {*newline, *vocabulary.tokens} - {EOS, UNK}


def _scores(model: Model, texts: Iterable[str], end: bool, context: str, threads: int) -> Iterator[Score]:
    """Yield the scores of texts, which are normalised as the model's training text."""
    given = (normalize_text(text, model.text) for text in texts)
    context = normalize_text(context, model.text)
    return score_texts(model.prepared, model.vocabulary, given, end=end, context=context, threads=threads)


def _log_priors(models: int, priors: Sequence[float] | None) -> list[float]:
    """Return the logarithm of each prior; raise ConfigError if one is invalid."""
    if not models:
        raise ConfigError("no models to choose from; name at least one")
    weights = [1.0] * models if priors is None else list(priors)
    check_weights("prior", weights, models)
    return [math.log(weight) if weight else -math.inf for weight in weights]


def _classification(
    scores: Sequence[Score], log_unseen: Sequence[float], log_priors: Sequence[float]
) -> Classification:
    """Return the posterior for one text from its score under each model."""
    log_probs = [score.log_prob - score.unknown * log for score, log in zip(scores, log_unseen, strict=True)]
    joint = [log_prob + log_prior for log_prob, log_prior in zip(log_probs, log_priors, strict=True)]
    return Classification(scores[0].text, tuple(log_probs), tuple(softmax(joint)))
