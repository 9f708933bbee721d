"""Everything that charlm raises on purpose.

CharlmError
├── ConfigError              a setting is out of its range, or two settings contradict each other
├── CorpusError              the text cannot be used
│   ├── EncodingError        bytes that are not valid in the chosen encoding
│   └── EmptyCorpusError     nothing to learn from
├── UnknownCharacterError    a character outside the vocabulary, where that was asked to be an error
├── CheckpointError          a file that is not a charlm model, is damaged, or is from a newer charlm
├── ModelExistsError         writing would destroy a model that is there already
├── ResumeError              a run cannot be continued as asked
├── BusyError                another run is writing the same model
├── ResourceError            this machine cannot hold what was asked for
├── DivergedError            training left the finite numbers and did not come back
└── MissingExtraError        an optional package is needed and not installed

Each message says what happened, where, and what to do about it.
"""

from __future__ import annotations

from typing import Any


class CharlmError(Exception):
    """Base of every error that charlm raises on purpose."""


class ConfigError(CharlmError, ValueError):
    """A setting is out of its range, or two settings contradict each other.

    Parameters
    ----------
    message : the whole message; names of settings are in backticks
    field : name of the setting that is at fault, None if there is not one
    value : its value
    """

    def __init__(self, message: str, field: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class CorpusError(CharlmError):
    """The text cannot be used."""


class EncodingError(CorpusError):
    """Bytes that are not valid in the chosen encoding."""


class EmptyCorpusError(CorpusError):
    """There is nothing to learn from."""


class UnknownCharacterError(CharlmError):
    """A character outside the vocabulary, where that was asked to be an error."""


class CheckpointError(CharlmError):
    """A file that is not a charlm model, is damaged, or comes from a newer charlm."""


class ModelExistsError(CharlmError):
    """Writing would destroy a model that is there already."""


class ResumeError(CharlmError):
    """A run cannot be continued as asked."""


class BusyError(CharlmError):
    """Another run is writing the same model."""


class ResourceError(CharlmError):
    """This machine cannot hold what was asked for."""


class DivergedError(CharlmError):
    """Training left the finite numbers and did not come back."""


class MissingExtraError(CharlmError):
    """An optional package is needed and is not installed."""
