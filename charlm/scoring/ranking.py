"""Comparing: several texts under one model, and one text under several models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from operator import add
from typing import TYPE_CHECKING, Protocol

from charlm.config import TextConfig, check, is_real
from charlm.errors import ConfigError
from charlm.scoring.score import Score
from charlm.scoring.scorer import score_texts
from charlm.text.reading import normalize_text

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.text.vocabulary import Vocabulary


class Model(Protocol):
    """What `classify` needs of a model. A LanguageModel has it."""

    @property
    def runner(self) -> PreparedNetwork:
        """Runs the network."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Turns text into ids."""

    @property
    def text(self) -> TextConfig:
        """How the model's text became tokens."""


def shares(log_weights: Sequence[float]) -> list[float]:
    """Return the weights, given by their natural logarithms, divided by their sum. -inf is a weight of 0.

    The greatest is taken out first (log-sum-exp), so that neither overflow nor underflow matters.
    """
    peak = max(log_weights, default=0.0)
    weights = [math.exp(log_weight - peak) for log_weight in log_weights]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def rank(scores: Iterable[Score]) -> list[tuple[float, Score]]:
    """Order scores, most probable text first, each with its probability relative to the others.

    The relative probabilities sum to 1: p(text) / sum of p over all the texts. Equals keep their order.
    """
    given = list(scores)
    relative = shares([score.log_prob for score in given])
    return sorted(zip(relative, given, strict=True), key=lambda pair: -pair[1].log_prob)


@dataclass(frozen=True)
class Classification:
    """Which of several models a text is from.

    log_probs: ln p(text | model) for each model, in nats, UNK shared out.
    posterior: p(model | text) for each model; sums to 1.
    """

    text: str
    log_probs: tuple[float, ...]
    posterior: tuple[float, ...]

    @property
    def best(self) -> int:
        """The index of the most probable model; of the first, where several are."""
        return max(range(len(self.posterior)), key=self.posterior.__getitem__)


def classify(
    models: Sequence[Model],
    texts: Iterable[str],
    *,
    priors: Sequence[float] | None = None,
    end: bool | None = None,
    context: str = "",
) -> Iterator[Classification]:
    """Yield the posterior over `models` for each text, in order, by Bayes' rule.

    p(model | text) = p(text | model) p(model) / sum of that over the models.
    priors: p(model) up to a factor; >= 0, not all 0, one for each model; None for equal ones.
    end: whether the end of each text counts; None for yes if all the models learned lines.
    context: read before each text, not counted.
    Models with different vocabularies are compared over one alphabet, see `unseen_characters`: a character
    has the probability p(UNK) / unseen characters in a model that does not know it.
    Raises ConfigError for no models, bad priors, or characters and words mixed.
    """
    log_priors = _log_priors(len(models), priors)
    unseen = unseen_characters([model.vocabulary for model in models])
    if end is None:
        end = all(model.text.lines for model in models)
    streams = [
        _scores(model, copy, end=end, context=context)
        for model, copy in zip(models, tee(texts, len(models)), strict=True)
    ]
    return _classifications(streams, [math.log(count) for count in unseen], log_priors)


def unseen_characters(vocabularies: Sequence[Vocabulary]) -> list[int]:
    """Return for each vocabulary over how many characters the probability of its UNK is shared out.

    The models are made to speak of one alphabet: every character that any of them knows, and one symbol more
    for all characters that none knows. What a model lacks of it, the others' characters and that symbol, is
    what its UNK means, each with an even share. So every model is a distribution over the same texts, as
    Bayes' rule asks for, and none gains by knowing fewer characters. With equal vocabularies it is 1, and UNK
    is that symbol.
    Raises ConfigError if some are of characters and others of words.
    """
    units = {vocabulary.unit for vocabulary in vocabularies}
    if len(units) > 1:
        raise ConfigError("models of characters and of words cannot be compared; use models of one unit")
    known = [_known(vocabulary) for vocabulary in vocabularies]
    alphabet = frozenset[str]().union(*known)
    return [len(alphabet - tokens) + 1 for tokens in known]


def _known(vocabulary: Vocabulary) -> set[str]:
    """Return the tokens that stand for characters, and the newline if it is read as the end of a line."""
    special = vocabulary.eos, vocabulary.unk
    newline = {"\n"} if vocabulary.eos in vocabulary.encode("\n") else set[str]()
    return newline.union(token for id_, token in enumerate(vocabulary.tokens) if id_ not in special)


def _scores(model: Model, texts: Iterable[str], *, end: bool, context: str) -> Iterator[Score]:
    given = (normalize_text(text, model.text) for text in texts)
    return score_texts(model.runner, model.vocabulary, given, end=end, context=normalize_text(context, model.text))


def _log_priors(models: int, priors: Sequence[float] | None) -> list[float]:
    if not models:
        raise ConfigError("no models to choose from; name at least one")
    weights = [1.0] * models if priors is None else list(priors)
    if len(weights) != models:
        raise ConfigError(f"{len(weights)} priors for {models} models; give one prior for each model")
    for weight in weights:
        check(is_real(weight) and weight >= 0, "prior", weight, "0 or more")
    check(any(weights), "prior", 0, "more than 0 for one model at least")
    return [math.log(weight) if weight else -math.inf for weight in weights]


def _shared_out(score: Score, log_unseen: float) -> float:
    return score.log_prob - score.unknown * log_unseen


def _classifications(
    streams: Sequence[Iterator[Score]], log_unseen: Sequence[float], log_priors: Sequence[float]
) -> Iterator[Classification]:
    for scores in zip(*streams, strict=True):
        log_probs = tuple(map(_shared_out, scores, log_unseen))
        posterior = shares(list(map(add, log_probs, log_priors)))
        yield Classification(scores[0].text, log_probs, tuple(posterior))
