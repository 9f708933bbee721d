"""The settings of the public functions as typed keywords, which type checkers, editors and `help` show.

Each TypedDict has the fields of the dataclass of the same name in `charlm.config`; a test compares them.
"""
# Annotations are evaluated here, so that `help` shows the choices.

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from inspect import Parameter, cleandoc, signature
from os import PathLike
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

import numpy as np

from charlm.checks import most_similar
from charlm.config import TrainingText
from charlm.errors import ConfigError

Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])


class TextSettings(TypedDict, total=False):
    """Fields of TextConfig."""

    unit: Literal["char", "word"]
    lines: bool
    min_count: int | None
    encoding: str
    errors: Literal["strict", "replace", "ignore"]
    normalize: Literal["none", "NFC", "NFKC"]
    task: str
    remove: str
    target_unit: Literal["char", "symbol"]


class NetworkSettings(TypedDict, total=False):
    """Fields of NetworkConfig, and `size`; None for a choice by the length of the text and the budget."""

    size: Literal["tiny", "small", "medium", "large"] | None
    cell: str | None
    hidden: int | None
    layers: int | None
    dropout: float | None
    recurrent_dropout: float | None
    bidirectional: bool | None
    tied: bool | None


class TrainSettings(TypedDict, total=False):
    """Fields of TrainConfig; None for a choice by the length of the text and the budget."""

    batch: int | None
    bptt: int | None
    epochs: float | None
    steps: int | None
    minutes: float | None
    learning_rate: float | None
    warmup: float | None
    final_rate: float | None
    optimizer: str | None
    clip: float | None
    average: float | None
    restart_rate: float | None
    patience: int | None
    valid: float | None
    held_out: Literal["spread", "end"] | None
    seed: int | None
    threads: int | None
    ensemble: int | None


class EngineSettings(TypedDict, total=False):
    """Fields of EngineConfig but its name."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["float32", "bfloat16"]


class RunSettings(TypedDict, total=False):
    """Fields of RunOptions but text and engine."""

    overwrite: bool
    resume: bool
    save_minutes: float
    init_from: str | PathLike[str] | None
    keep_state: bool


class TrainKeywords(TextSettings, NetworkSettings, TrainSettings, EngineSettings, RunSettings, total=False):
    """All settings of `charlm.train`."""


class SampleSettings(TypedDict, total=False):
    """Fields of SampleConfig."""

    temperature: float
    top_k: int
    top_p: float
    length: int | None
    stop: str | None
    can_end: bool
    min_p: float
    word_temperature: float | None
    no_loop: int
    match: str | None
    starts_with: str | None
    contains: str | None
    ends_with: str | None
    without: str
    exact: bool
    max_copy: TrainingText | None


def show_keywords(settings: type, *configs: type) -> Callable[[Function], Function]:
    """Return a decorator that shows the settings of a function, its `**settings`, in its signature and docstring.

    Parameters
    ----------
    settings : a TypedDict
    *configs : the dataclasses that have its keys as fields; a key that may be None for a choice, which its field may
        not, has the default None
    """
    annotations = get_type_hints(settings)
    defaults = {field.name: field.default for config in configs for field in fields(config)}
    types = {name: hint for config in configs for name, hint in get_type_hints(config).items()}
    chosen = {name for name, hint in annotations.items() if may_be_none(hint) and not may_be_none(types.get(name))}

    def show(function: Function) -> Function:
        shown = signature(function)
        own = [parameter for parameter in shown.parameters.values() if parameter.kind is not Parameter.VAR_KEYWORD]
        keywords = [
            Parameter(
                name, Parameter.KEYWORD_ONLY, annotation=annotation,
                default=None if name in chosen else defaults[name],
            )
            for name, annotation in annotations.items()
        ]  # fmt: skip
        function.__signature__ = shown.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        if function.__doc__:  # there is none with python -OO
            function.__doc__ = "\n\n".join(
                [cleandoc(function.__doc__), *(section_of(config, annotations) for config in configs)]
            )
        return function

    return show


def may_be_none(hint: object) -> bool:
    """Return whether an annotation allows None."""
    return type(None) in get_args(hint)


def section_of(config: type, names: Collection[str]) -> str:
    """Return the description of some attributes of a dataclass, from its docstring, as a section of another one."""
    title = f"Settings of {config.__name__}"
    entries = re.split(r"\n(?=\S)", cleandoc(config.__doc__ or "").partition("Attributes\n----------\n")[2])
    shown = [entry for entry in entries if entry.partition(" : ")[0].split(", ")[0] in names]
    return "\n".join([title, "-" * len(title), *shown])


def take(settings: dict[str, Any], config: type) -> dict[str, Any]:
    """Remove the fields of a dataclass from settings, and return them."""
    return {field.name: settings.pop(field.name) for field in fields(config) if field.name in settings}


def checked(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return settings with NumPy's numbers as those of Python; raise ConfigError for an unknown name."""
    refuse_unknown(settings, known)
    return {name: plain(value) for name, value in settings.items()}


def plain(value: Value) -> Value:
    """Return a number of NumPy as one of Python, which JSON can hold; any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError, with the most similar known name or all of them, if a given name is unknown."""
    names = list(known)
    for name in given:
        if name not in names:
            similar = most_similar(name, names)
            hint = f"did you mean {similar}?" if similar else f"the settings are {', '.join(names)}"
            raise ConfigError(f"{name}: no such setting; {hint}")
