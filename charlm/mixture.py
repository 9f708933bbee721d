"""Mixture: several models as one, their probabilities averaged with weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from charlm.arrays import Array
from charlm.checkpoint import TrainingRecord
from charlm.checks import check, check_weights
from charlm.errors import ConfigError
from charlm.inference.extended import ExtendedNetwork
from charlm.inference.interface import CausalModel
from charlm.inference.mixture import Mixture as MixedNetworks
from charlm.kernels.threads import cores_for
from charlm.scoring.mixing import fit_weights
from charlm.scoring.scorer import score_text
from charlm.settings import plain
from charlm.text.vocabulary import LineVocabulary, Vocabulary
from charlm.text_model import TextModel

KINDS: Mapping[str, Callable[[Any], str]] = {
    "unit": lambda unit: "characters" if unit == "char" else "words",
    "lines": lambda lines: "lines" if lines else "running text",
    "normalize": lambda form: f"the normal form {form}",
}
"""The settings of the text in which all models of a mixture must agree, and the name of each value."""


class Mixture(TextModel):
    """Several models as one: p(character | text so far) is the weighted mean of their probabilities.

    Parameters
    ----------
    models : sequence of TextModel
        Models, or mixtures, of one unit, all of lines or all of running text.
    weights : sequence of float, optional
        The weight of each model, up to a common factor, 0 or more; equal by default.

    Attributes
    ----------
    models : tuple of TextModel
    weights : tuple of float
        They sum to 1.

    Raises
    ------
    ConfigError
        If there is no model, a weight is not valid, or the models do not read texts in the same way.

    Notes
    -----
    The vocabulary is the union of the vocabularies of all models with a weight above 0. Each model divides the
    probability of its UNK equally among UNK and the characters that it does not know, so that it is a distribution over
    the union. A mixture with one weight above 0 equals that model.

    >>> Mixture([load("verse.safetensors"), load("laws.safetensors")], [0.7, 0.3]).sample()  # doctest: +SKIP
    """

    def __init__(self, models: Sequence[TextModel], weights: Sequence[float] | None = None) -> None:
        is_list = isinstance(models, Sequence) and all(isinstance(model, TextModel) for model in models)
        check(is_list and len(models) > 0, "models", models, "a list of one or more models")
        given = [1.0] * len(models) if weights is None else [plain(weight) for weight in weights]
        check_weights("weight", given, len(models))
        self.models = tuple(models)
        self.weights = tuple(float(weight) / float(sum(given)) for weight in given)
        self.text = models[0].text
        for name, shown in KINDS.items():
            kinds = sorted({shown(getattr(model.text, name)) for model in models})
            if len(kinds) > 1:
                raise ConfigError(f"models of {' and of '.join(kinds)} cannot be mixed")
        if len({model.vocabulary.spaces_apart for model in models}) > 1:
            raise ConfigError("models of words with and without spaces as tokens cannot be mixed")
        self.vocabulary = union([model.vocabulary for model, _ in self._used])

    def __repr__(self) -> str:
        parts = ", ".join(f"{weight:.3g} x {model!r}" for model, weight in zip(self.models, self.weights, strict=True))
        return f"<Mixture {parts}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: all but the prepared weights."""
        return {name: value for name, value in self.__dict__.items() if name != "prepared"}

    @property
    def _used(self) -> list[tuple[TextModel, float]]:
        """The models with a weight above 0, with their weights."""
        return [pair for pair in zip(self.models, self.weights, strict=True) if pair[1] > 0]

    @property
    def reads_labels(self) -> bool:
        """See `TextModel.reads_labels`."""
        return any(model.reads_labels for model in self.models)

    def given(self, label: str | None) -> Mixture:
        """Return the mixture whose models with labels are those of a label; see `TextModel.given`."""
        if label is None:
            return self
        if not self.reads_labels:
            super().given(label)
        return Mixture([model.given(label) if model.reads_labels else model for model in self.models], self.weights)

    @cached_property
    def prepared(self) -> CausalModel:
        """The networks of all models, over the union of their vocabularies."""
        networks = [extended(model, self.vocabulary) for model, _ in self._used]
        if len(networks) == 1:
            return networks[0]
        return MixedNetworks(networks, np.log([weight for _, weight in self._used]))

    @property
    def training_records(self) -> tuple[TrainingRecord, ...]:
        """What each model remembers of its training."""
        return tuple(record for model in self.models for record in model.training_records)

    def fitted(self, text: str, *, threads: int | None = None) -> Mixture:
        """Return the mixture of the same models whose weights make a text most probable.

        Parameters
        ----------
        text : str
            A sample of what is to be scored or written; of a model of lines, one or more lines.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.

        Raises
        ------
        ConfigError
            If the text is empty.
        """
        check(bool(text), "text", text, "a sample of one or more characters")
        return Mixture(self.models, fit_weights(self.log_probs_by_model(text, threads=threads)).tolist())

    def log_probs_by_model(self, text: str, *, threads: int | None = None) -> Array:
        """Return the log-probability of each character of a text under each model, (K, N) in nats.

        All K models are distributions over the union of all vocabularies, whatever their weights are. In a model of
        lines, the ends of the N characters' lines are among them.
        """
        text, vocabulary = self.clean(text), union([model.vocabulary for model in self.models])
        networks = [extended(model, vocabulary) for model in self.models]
        end, cores = self.counts_end(None), cores_for(threads)
        scores = [score_text(network, vocabulary, text, end=end, threads=cores) for network in networks]
        return np.stack([score.log_probs for score in scores if score.log_probs is not None])


def union(vocabularies: Sequence[Vocabulary]) -> Vocabulary:
    """Return a vocabulary of the tokens of all vocabularies; their own one if they are equal."""
    first = vocabularies[0]
    if all(other.tokens == first.tokens for other in vocabularies):
        return first
    kind = LineVocabulary if isinstance(first, LineVocabulary) else Vocabulary
    tokens = {token for vocabulary in vocabularies for token in vocabulary.tokens[2:]}
    return kind((*first.tokens[:2], *sorted(tokens)), first.unit)


def extended(model: TextModel, vocabulary: Vocabulary) -> CausalModel:
    """Return the network of a model over a vocabulary that has all of its tokens, and more."""
    own = model.vocabulary
    if own.tokens == vocabulary.tokens:
        return model.prepared
    ids = {token: index for index, token in enumerate(own.tokens)}
    own_ids = np.array([ids.get(token, own.unk) for token in vocabulary.tokens])
    return ExtendedNetwork(model.prepared, own_ids, own.unk)
