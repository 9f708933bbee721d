"""What a model is: a vocabulary, a network and its parameters, which are loaded, saved, copied and shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.any_label import AnyLabel
from charlm.checkpoint import ModelFile, TrainingRecord, named_tensors, printable, read_model, write_model
from charlm.checks import PATH, check, check_value
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import CheckpointError, ConfigError, ModelExistsError
from charlm.inference.interface import CausalModel
from charlm.inference.prepare import prepare_bidirectional, prepare_causal
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.networks import condition, make_network
from charlm.tasks import find_task
from charlm.text.quoting import listed
from charlm.text.vocabulary import LineVocabulary, Vocabulary
from charlm.text_model import TextModel

if TYPE_CHECKING:  # `charlm score` starts faster without this package
    from typing_extensions import Self

    from charlm.infilling.bidirectional_reader import BidirectionalReader

CACHES = ("prepared", "bidirectional", "restorer", "classifier", "tagger", "translator", "any_label")
"""Attributes that are computed from the weights at their first use."""
MAX_NAME = 60
"""Characters of the name of a training text that are shown."""


class StoredModel(TextModel):
    """The base class of `LanguageModel`, which describes the parameters."""

    def __init__(
        self,
        network: BaseNetwork,
        params: Parameters | Sequence[Parameters],
        vocabulary: Vocabulary,
        text: TextConfig,
        training: TrainingRecord | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.network = network
        self.members = (params,) if isinstance(params, Parameters) else tuple(params)
        check(bool(self.members), "params", 0, "one member or more")
        self.vocabulary = LineVocabulary(vocabulary.tokens, vocabulary.unit) if text.lines else vocabulary
        self.text = text
        self.training = training or TrainingRecord()
        self.labels = tuple(labels)
        self.task = find_task(text.task)
        check(self.task.is_labelled == bool(labels), "labels", self.labels, "those of the task")

    def __repr__(self) -> str:
        unit, record, count = self.text.unit, self.training, len(self.members)
        facts = [
            f"{count} x {self.config}" if count > 1 else str(self.config),
            f"{len(self.vocabulary):,} {'characters' if unit == 'char' else 'words'}",
        ]
        if self.labels:
            facts.insert(0, f"{self.text.task}, {len(self.labels):,} labels")
        if record.sources:
            more = f" and {len(record.sources) - 1} more" if len(record.sources) > 1 else ""
            facts.append(printable(os.path.basename(record.sources[0]), MAX_NAME) + more)
        if record.valid_loss is not None:
            pseudo = " (pseudo-likelihood)" if self.config.bidirectional and not self.config.outputs else ""
            facts.append(f"held-out {record.valid_loss:.2f} nats/{'label' if self.config.outputs else unit}{pseudo}")
        return f"<{type(self).__name__} {', '.join(facts)}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: all but the prepared weights."""
        return {name: value for name, value in self.__dict__.copy().items() if name not in CACHES}

    @cached_property
    def prepared(self) -> CausalModel:
        """The network or the mixture with its weights prepared for inference; ConfigError if it is bidirectional."""
        return self.any_label.prepared if self.reads_labels else prepare_causal(self.causal_network, self.members)

    @property
    def causal_network(self) -> Network:
        """The network; ConfigError if it is bidirectional."""
        self.require_language()
        if not isinstance(self.network, Network):
            raise ConfigError(
                "this model reads from both sides and has no probability from left to right, so it cannot sample or "
                "score a text: it supports `fill`, `proof` and `pseudo_score` (the pseudo-log-likelihood)"
            )
        return self.network

    @property
    def training_records(self) -> tuple[TrainingRecord, ...]:
        """What the model remembers of its training."""
        return (self.training,)

    @cached_property
    def bidirectional(self) -> BidirectionalReader:
        """The bidirectional network, prepared for inference; ConfigError if it has one direction."""
        from charlm.infilling.bidirectional_reader import BidirectionalReader

        self.require_language()
        if not isinstance(self.network, BidirectionalNetwork):
            raise ConfigError("this model reads from left to right only; use one trained with `bidirectional=True`")
        return BidirectionalReader(prepare_bidirectional(self.network, self.members), self.vocabulary)

    def require_language(self) -> None:
        """Raise ConfigError, with the commands that the model is for, unless it is a language model without labels."""
        if self.task.is_labelled:
            raise ConfigError(self.task.for_commands())

    @property
    def reads_labels(self) -> bool:
        """Whether the network reads a label with each token."""
        return self.config.conditions > 0

    @property
    def priors(self) -> tuple[float, ...]:
        """The fraction of the training texts with each label that the network reads; empty for other models."""
        if not self.reads_labels:
            return ()
        counts = self.training.label_counts or (1,) * len(self.labels)
        return tuple(count / sum(counts) for count in counts)

    @cached_property
    def any_label(self) -> AnyLabel:
        """The distribution over texts without a label, of a model whose network reads labels."""
        return AnyLabel(self, self.conditioned, self.labels, self.priors)

    def given(self, label: str | None) -> TextModel:
        """See `TextModel.given`."""
        return self.any_label.given(label) if self.reads_labels else super().given(label)

    def conditioned(self, label: str) -> Self:
        """Return the language model of the texts with a label, which has no labels.

        Raises
        ------
        ConfigError
            If the network does not read labels, or has no such label.
        """
        if not self.reads_labels:
            super().given(label)
        if label not in self.labels:
            raise ConfigError(f"the model has no label {label!r}; it has {listed(self.labels)}")
        network = make_network(replace(self.config, conditions=0), len(self.vocabulary), self.network.start)
        members = [condition(params, network, self.labels.index(label)) for params in self.members]
        text, training = replace(self.text, task="language"), replace(self.training, label_counts=())
        return type(self)(network, members, self.vocabulary, text, training)

    @property
    def params(self) -> Parameters:
        """The weights of the first member; a model that is no mixture has one."""
        return self.members[0]

    @property
    def config(self) -> NetworkConfig:
        """The shape of the network."""
        return self.network.config

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a model file; see the function `load`."""
        check_value("path", path, PATH)
        file = read_model(path)
        text = TextConfig(**file.text)
        try:
            find_task(text.task).check_model(text, file.config, file.labels)
        except ValueError as error:
            raise CheckpointError(f"{path}: not a model that this charlm knows: {printable(error, 200)}") from None
        network = make_network(file.config, len(file.vocabulary), start=file.vocabulary.eos)
        members = [network.parameters(np.zeros(network.size, np.float32)) for _ in range(file.members)]
        for name, view in named_tensors(members).items():
            view[...] = file.tensors[name]
        return cls(network, members, file.vocabulary, text, file.training, file.labels)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a model file, atomically.

        Raises ModelExistsError if it exists and `overwrite` is not set, CheckpointError if it cannot be written.
        """
        check_value("path", path, PATH)
        if not overwrite and Path(path).exists():
            raise ModelExistsError(f"{path}: exists already; `overwrite=True` replaces it")
        tensors, text = named_tensors(self.members), asdict(self.text)
        members, labels = len(self.members), self.labels
        write_model(path, ModelFile(self.config, text, self.vocabulary, tensors, self.training, members, labels))
