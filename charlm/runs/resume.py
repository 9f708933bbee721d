"""Going on with a stopped run: its settings come back, and what would make it another run is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charlm.arrays import Array
from charlm.checkpoint import TrainingRecord, printable, read_state, write_state
from charlm.config import NetworkConfig, TextConfig, TrainConfig, is_count, is_real
from charlm.errors import ConfigError, ResumeError
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.recipes import BUDGETS, HIDDEN_OF_SIZE, budget_of
from charlm.training.trainer import Trainer

FREE = (*BUDGETS, "patience", "threads")
"""Settings that a resumed run may change. With other threads it goes on as well, but not to the bit."""

MOST = 2.0**53
"""Numbers in a state file are smaller."""


@dataclass(frozen=True)
class SavedRun:
    """What NAME.resume.safetensors holds.

    network, train, text: the settings of the run, complete.  vocabulary: of the run.
    corpus: what `identity` says of its text.
    arrays, trainer: what `Trainer.snapshot` returned.  model: what the model file says of its training.
    """

    path: Path
    network: NetworkConfig
    train: TrainConfig
    text: TextConfig
    vocabulary: Vocabulary
    corpus: dict[str, Any]
    arrays: dict[str, Array]
    trainer: dict[str, Any]
    model: TrainingRecord

    @classmethod
    def read(cls, path: Path) -> SavedRun:
        """Read the state of a run.

        Raises ResumeError if there is none, CheckpointError if the file is damaged or not one of ours.
        """
        if not path.exists():
            raise ResumeError(f"{path}: no such file; there is no run to resume")
        arrays, facts = read_state(path)
        try:
            return cls(
                path,
                NetworkConfig(**facts["network"]),
                TrainConfig(**facts["train"]),
                TextConfig(**facts["text"]),
                Vocabulary.from_json(facts["vocabulary"]),
                dict(facts["corpus"]),
                arrays,
                dict(facts["trainer"]),
                TrainingRecord.from_json(facts["model"]),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise cls.misfit(path, error) from error

    def write(self) -> None:
        """Write the state, atomically.

        Raises CheckpointError if that fails; then the old file is as it was.
        """
        facts = {
            "network": asdict(self.network),
            "train": asdict(self.train),
            "text": asdict(self.text),
            "vocabulary": self.vocabulary.to_json(),
            "corpus": self.corpus,
            "trainer": self.trainer,
            "model": self.model.to_json(),
        }
        write_state(self.path, self.arrays, facts)

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of the run; a budget that is given replaces its budget.

        Raises ResumeError if a setting is given that differs and cannot change.
        """
        saved = asdict(self.network) | asdict(self.train)
        wanted = {name: value for name, value in given.items() if value is not None}
        if "size" in wanted:
            wanted.setdefault("hidden", HIDDEN_OF_SIZE.get(wanted.pop("size")))
        for name, value in wanted.items():
            if name not in FREE and saved.get(name) != value:
                raise self.refusal(name, saved.get(name), value)
        if any(name in wanted for name in BUDGETS):
            saved |= dict.fromkeys(BUDGETS)
        return saved | wanted

    def text_settings(self, given: TextConfig) -> TextConfig:
        """Return how the run reads its text.

        Raises ResumeError if something is given, other than the default, that differs.
        """
        saved, defaults = asdict(self.text), asdict(TextConfig())
        for name, value in asdict(given).items():
            if value not in (defaults[name], saved[name]):
                raise self.refusal(name, saved[name], value)
        return self.text

    def refusal(self, name: str, saved: Any, given: Any) -> ResumeError:
        """Return the error for a setting that cannot change."""
        shown = {"learning_rate": "lr"}.get(name, name.replace("_", "-"))
        return ResumeError(f"the run to resume has {shown} {saved}, not {given}; leave that out, or start a new run")

    def check_text(self, found: Mapping[str, Any]) -> None:
        """Raise ResumeError, with what differs, unless `found` is the identity of the run's text."""
        differs = [
            f"{name} was {printable(self.corpus.get(name), 80)}, is {value}"
            for name, value in found.items()
            if self.corpus.get(name) != value
        ]
        if differs:
            raise ResumeError(
                f"the text is not the one that the run has learned from ({'; '.join(differs)}); "
                "name the same files in the same order, or start a new run"
            )

    def restore(self, trainer: Trainer) -> str:
        """Bring a trainer to where the run stopped; returns a line that says where that is.

        Raises ResumeError if the state does not fit.
        """
        try:
            check_arrays(self.arrays, trainer.snapshot()[0])
            check_facts(self.trainer)
            trainer.restore(self.arrays, self.trainer)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise self.misfit(self.path, error) from error
        line = f"resumed behind step {trainer.step:,}, {trainer.share:.0%} of {budget_of(trainer.config)}"
        if trainer.config.threads != self.train.threads:
            line += f"; not to the bit, with --threads {trainer.config.threads} rather than {self.train.threads}"
        return line

    def refuse_what_is_done(self, trainer: Trainer) -> None:
        """Raise ResumeError if no budget or patience is left."""
        if trainer.share >= 1:
            budget = budget_of(trainer.config)
            raise ResumeError(f"the run has used up its budget of {budget}; a larger one, such as --minutes, goes on")
        if trainer.has_lost_patience:
            raise ResumeError("the run has stopped early, for its held-out loss rose; --patience 0 trains on")

    @staticmethod
    def misfit(path: Path, error: Exception) -> ResumeError:
        """Return the error for a state whose contents are not what this charlm writes."""
        why = printable(repr(error), 200)
        return ResumeError(f"{path}: not the state of a run that this charlm can resume ({why}); start a new run")


def identity(corpus: Corpus) -> dict[str, Any]:
    """Return what tells a corpus from others, in words for people -> value."""
    return {
        "its length in tokens": corpus.source.n_characters,
        "its SHA-256": corpus.source.digest,
        "its training part in tokens": len(corpus.train_ids),
        "its held-out part in tokens": len(corpus.valid_ids),
    }


def check_arrays(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    """Raise ValueError unless the arrays have the wanted names, shapes and dtypes, and sane values."""
    if odd := found.keys() ^ wanted.keys():
        raise ValueError(f"array {min(odd)} is missing, or too many")
    for name, array in wanted.items():
        if (found[name].shape, found[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"array {name} has shape {found[name].shape}, not {array.shape}")
        if not np.abs(found[name]).max(initial=0) < MOST:
            raise ValueError(f"array {name} has a value that is not finite, or beyond all bounds")


def check_facts(facts: Mapping[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError unless the facts have the form that `Trainer.snapshot` gives them."""
    for name in ("step", "stale", "optimizer_steps", "model_step"):
        if not is_count(facts[name], least=0) or facts[name] >= MOST:
            raise ValueError(f"{name} is no count")
    if facts["cursor"]["window"] != facts["step"]:
        raise ValueError("its place in the text is not that of its step")
    best = 0 if facts["best_loss"] is None else facts["best_loss"]
    if not (facts.get("held_out_size") is None or is_count(facts["held_out_size"])):
        raise ValueError("held_out_size is no count")
    reals = [facts["seconds"], best, facts.get("sharpness", 1.0), *facts["recovery"].values()]
    if not all(is_real(value) and abs(value) < MOST for value in reals) or facts["seconds"] < 0:
        raise ValueError("a number is beyond all bounds")
