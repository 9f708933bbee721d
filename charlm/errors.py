"""The errors that charlm raises on purpose.

CharlmError
├── ConfigError              a setting is out of its range, or two settings contradict each other
├── CorpusError              the text cannot be used
│   ├── EncodingError        the bytes are not valid in the chosen encoding
│   └── EmptyCorpusError     the text is empty
├── UnknownCharacterError    a character is not in the vocabulary, and the caller asked for an error
├── CheckpointError          a file is not a charlm model, is damaged, or was written by a newer charlm
├── ModelExistsError         a write would replace an existing model
├── ResumeError              a run cannot be resumed as asked
├── BusyError                another run writes the same model
├── ResourceError            the machine lacks memory, processes or a device
├── DivergedError            training diverged to non-finite values and did not recover
└── MissingExtraError        an optional package is not installed

A message states what happened, where, and what to do next. It names parameters of Python functions in backticks, as in
"`temperature` is -1; expected 0 or more". The command line turns them into flags.
"""

from __future__ import annotations

from typing import Any


class CharlmError(Exception):
    """Base class of the errors that charlm raises on purpose."""


class ConfigError(CharlmError, ValueError):
    """A setting is out of its range, or two settings contradict each other.

    Parameters
    ----------
    message : the message, with names of settings in backticks
    field : the setting that is out of its range, None if there is no single one
    value : its value
    """

    def __init__(self, message: str, field: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class CorpusError(CharlmError):
    """The text cannot be used."""


class EncodingError(CorpusError):
    """The bytes are not valid in the chosen encoding."""


class EmptyCorpusError(CorpusError):
    """The text is empty."""


class UnknownCharacterError(CharlmError):
    """A character is not in the vocabulary, and the caller asked for an error."""


class CheckpointError(CharlmError):
    """A file is not a charlm model, is damaged, or was written by a newer charlm."""


class ModelExistsError(CharlmError):
    """A write would replace an existing model."""


class ResumeError(CharlmError):
    """A run cannot be resumed as asked."""


class BusyError(CharlmError):
    """Another run writes the same model."""


class ResourceError(CharlmError):
    """The machine lacks memory, processes or a device."""


class DivergedError(CharlmError):
    """Training diverged to non-finite values and did not recover."""


class MissingExtraError(CharlmError):
    """An optional package is not installed."""
