"""The state file of a run: read and write it, and refuse settings or texts that differ from those of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm.checkpoint import TrainingRecord, labels_from_json, printable, read_state, write_state
from charlm.checks import is_count, is_real
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.errors import ConfigError, ResumeError
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.recipes import BUDGETS, HIDDEN_OF_SIZE, budget_of
from charlm.training.trainer import Trainer

CHANGEABLE = (*BUDGETS, "patience", "threads")
"""Settings that a resumed run may change. With other threads it does not continue bit for bit."""
LEARNER_COUNTS = ("step", "optimizer_steps")
TRAINER_COUNTS = ("stale", "model_step", "held_out_size")
COUNTS = (*LEARNER_COUNTS, *TRAINER_COUNTS)
NUMBERS = ("seconds", "best_loss", "sharpness")
OPTIONAL = ("held_out_size", "best_loss")
"""Entries of a state that are integers, 0 or more; that are numbers; and that may be None."""
MAX_VALUE = 2.0**53
"""Bound of the numbers in a state file."""


@dataclass(frozen=True)
class SavedRun:
    """The content of NAME.resume.

    Attributes
    ----------
    path : Path
        The file.
    network, train, text : NetworkConfig, TrainConfig, TextConfig
        Complete settings of the run.
    vocabulary : Vocabulary
        Vocabulary of the run.
    corpus : dict
        What `identity` returns for its text.
    trainer : dict
        What `Trainer.state_dict` returned.
    record : TrainingRecord
        What the model file records of the training.
    labels : tuple of str
        The labels of labelled text.
    """

    path: Path
    network: NetworkConfig
    train: TrainConfig
    text: TextConfig
    vocabulary: Vocabulary
    corpus: dict[str, Any]
    trainer: dict[str, Any]
    record: TrainingRecord
    labels: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> SavedRun:
        """Read the state of a run.

        Raises
        ------
        ResumeError
            If it is not one of this version.
        CheckpointError
            If there is no such file, or it is damaged or not one of charlm.
        """
        arrays, content = read_state(path)
        try:
            return cls(
                path,
                NetworkConfig(**content["network"]),
                TrainConfig(**content["train"]),
                TextConfig(**content["text"]),
                Vocabulary.from_json(content["vocabulary"]),
                dict(content["corpus"]),
                dict(content["trainer"]) | dict(arrays),
                TrainingRecord.from_json(content["model"]),
                labels_from_json(content),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise _state_error(path, error) from error

    def write(self) -> None:
        """Write the state, atomically.

        Raises
        ------
        CheckpointError
            If that fails; the old file is unchanged then.
        """
        arrays, values = _split_arrays(self.trainer)
        content = {
            "network": asdict(self.network),
            "train": asdict(self.train),
            "text": asdict(self.text),
            "vocabulary": self.vocabulary.to_json(),
            "corpus": self.corpus,
            "trainer": values,
            "model": self.record.to_json(),
            **({"labels": list(self.labels)} if self.labels else {}),
        }
        write_state(self.path, arrays, content)

    def settings(self, given: Mapping[str, Any], text: TextConfig | None = None) -> dict[str, Any]:
        """Return the settings of the run, updated by the given ones; a given budget replaces the old budget.

        Parameters
        ----------
        given : mapping
            Settings of the network and the training, name -> value; None for not given.
        text : TextConfig, optional
            How text becomes tokens; a default value counts as not given.

        Raises
        ------
        ResumeError
            If a setting differs that cannot change.
        """
        changes = {name: value for name, value in given.items() if value is not None}
        if "size" in changes:
            changes.setdefault("hidden", HIDDEN_OF_SIZE.get(changes.pop("size")))
        text_settings = asdict(text or TextConfig())
        text_changes = {name: value for name, value in text_settings.items() if value != getattr(TextConfig, name)}
        settings = asdict(self.network) | asdict(self.train)
        saved = settings | asdict(self.text)
        for name, value in (changes | text_changes).items():
            if name not in CHANGEABLE and value != saved.get(name):
                raise ResumeError(
                    f"the run to resume has `{name}` {saved.get(name)}, not {value}; "
                    f"leave `{name}` out, or start a new run"
                )
        if any(name in changes for name in BUDGETS):
            settings |= dict.fromkeys(BUDGETS)
        return settings | changes

    def check_text(self, found: Mapping[str, Any]) -> None:
        """Check that a text, of which `found` is the identity, is that of the run.

        Raises
        ------
        ResumeError
            If it is not; the message names the differences.
        """
        differences = [
            f"{name} was {printable(self.corpus.get(name), 80)}, is {value}"
            for name, value in found.items()
            if self.corpus.get(name) != value
        ]
        if differences:
            raise ResumeError(
                f"the text is not the one that the run has learned from ({'; '.join(differences)}); "
                "name the same files in the same order, or start a new run"
            )

    def restore(self, trainer: Trainer) -> str:
        """Load the state into a trainer, and return a message that says where the run continues.

        Raises
        ------
        ResumeError
            If the state does not fit.
        """
        try:
            _check_state(self.trainer, trainer.state_dict())
            trainer.load_state_dict(self.trainer)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise _state_error(self.path, error) from error
        message = f"resumed after step {trainer.step:,}, {trainer.progress:.0%} of {budget_of(trainer.config)}"
        if trainer.config.threads != self.train.threads:
            message += f"; not bit for bit, because `threads` is {trainer.config.threads}, not {self.train.threads}"
        return message


def check_not_finished(trainer: Trainer) -> None:
    """Raise ResumeError if a restored trainer has used up its budget or its patience."""
    if trainer.progress >= 1:
        budget = budget_of(trainer.config)
        raise ResumeError(f"the run has used up its budget of {budget}; a larger one, such as `minutes`, continues it")
    if trainer.must_stop_early:
        raise ResumeError("the run has stopped early because its held-out loss rose; `patience=0` continues it")


def identity(corpus: Corpus) -> dict[str, Any]:
    """Return the properties that identify a text, by readable names."""
    return {
        "its length in tokens": corpus.source.n_characters,
        "its SHA-256": corpus.source.digest,
        "its training part in tokens": len(corpus.train_ids),
        "its held-out part in tokens": len(corpus.valid_ids),
    }


def _split_arrays(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a state into its arrays and its other values."""
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    return arrays, {name: value for name, value in state.items() if name not in arrays}


def _check_state(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError unless a state has the form of the expected one, and sane values."""
    arrays, values = _split_arrays(found)
    expected_arrays, _ = _split_arrays(expected)
    if odd := arrays.keys() ^ expected_arrays.keys():
        raise ValueError(f"array {min(odd)} is missing or unknown")
    for name, array in expected_arrays.items():
        if (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"array {name} has shape {arrays[name].shape}, not {array.shape}")
        if not np.abs(arrays[name]).max(initial=0) < MAX_VALUE:
            raise ValueError(f"array {name} has a value that is not finite or too large")
    if len(values.get("members", ())) != len(expected.get("members", ())):
        raise ValueError(f"it has {len(values.get('members', ()))} members")
    for learner in values.get("members", [values]):
        if learner["cursor"]["window"] != learner["step"]:
            raise ValueError("its position in the text is not that of its step")
        _check_numbers({name: learner[name] for name in LEARNER_COUNTS} | learner["recovery"])
    _check_numbers({name: values[name] for name in (*TRAINER_COUNTS, *NUMBERS)})
    if values["seconds"] < 0:
        raise ValueError("seconds are negative")


def _check_numbers(numbers: Mapping[str, Any]) -> None:
    """Raise ValueError if a value is not a number, too large, or no count where it must be one."""
    for name, number in numbers.items():
        is_valid = is_count(number, 0) if name in COUNTS else is_real(number)
        is_missing = number is None and name in OPTIONAL
        if not is_missing and not (is_valid and abs(number) < MAX_VALUE):
            raise ValueError(f"{name} is {number}")


def _state_error(path: Path, error: Exception) -> ResumeError:
    """Return the error for a state whose content this version does not write."""
    reason = printable(repr(error), 200)
    return ResumeError(f"{path}: not the state of a run that this charlm can resume ({reason}); start a new run")
