"""The interface of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.text.corpus import Corpus
from charlm.text.symbols import Scheme


class Task(ABC):
    """What a network reads, what it predicts at which positions, and which stacks it has.

    Attributes
    ----------
    does : str
        What a model of the task does, for messages: "it ...".
    commands : tuple of str
        The commands that such a model is for.
    network : mapping
        Settings of the network that the task determines, such as both directions.
    options : tuple of str
        Fields of TextConfig that are settings of this task.
    """

    does: ClassVar[str]
    commands: ClassVar[tuple[str, ...]]
    network: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[tuple[str, ...]] = ()

    def text(self, config: TextConfig) -> TextConfig:
        """Return the settings of the text with those that the task determines.

        Raises
        ------
        ConfigError
            If a setting does not fit the task.
        """
        if config.remove and "remove" not in self.options:
            raise ConfigError("`remove` is a setting of the task 'restore'; leave it out, or pass `task=restore`")
        if config.target_unit != "char" and "target_unit" not in self.options:
            raise ConfigError("`target_unit` is a setting of the task 'pairs'; leave it out, or pass `task=pairs`")
        if config.unit != "char" and self.is_labelled:
            raise ConfigError(f"the task {config.task!r} reads characters; leave `unit` out")
        return config

    @property
    def is_labelled(self) -> bool:
        """Whether texts, or parts of them, have labels, which the network predicts or reads."""
        return True

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings of the network with those that the task determines; ConfigError if others are given."""
        determined = {"encoder_decoder": False, **self.network}
        for name, value in determined.items():
            if given.get(name) not in (None, value):
                raise ConfigError(f"`{name}` is {given[name]!r}, which this task does not have; leave `{name}` out")
        return {**given, **determined}

    def sizes(self, labels: int) -> dict[str, int]:
        """Return the settings of the network that the number of labels determines."""
        return {"outputs": labels}

    @abstractmethod
    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> Scheme | None:
        """Return how files become labelled text; None for text without labels.

        labels: those of a resumed run; None to collect them from the text.
        """

    def forms(self, config: TextConfig, corpus: Corpus) -> dict[str, int]:
        """Return the counts of the forms of words that a model remembers; none if the task has no use for them."""
        return {}

    def check_model(self, text: TextConfig, config: NetworkConfig, labels: tuple[str, ...]) -> None:
        """Raise ConfigError or ValueError unless a model file of this task has the settings and the labels for it."""
        self.text(text)
        self.settings(asdict(config))
        if self.is_labelled != bool(labels):
            raise ValueError(f"the task {text.task!r} does not fit {len(labels):,} labels")
        for name, size in self.sizes(len(labels)).items():
            if getattr(config, name) != size:
                raise ValueError(f"the task {text.task!r} needs a network with `{name}` {size:,}")

    def for_commands(self) -> str:
        """Return what a model of this task does, and which commands do it."""
        *others, last = (f"`charlm {name}`" for name in self.commands)
        return f"this model {self.does}: it is for {', '.join(others)}{' and ' * bool(others)}{last}"
