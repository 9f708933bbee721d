"""Going on with a stopped run: its settings come back, and what would make it another run is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from charlm.arrays import Array
from charlm.checkpoint import read_state, write_state
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.errors import ConfigError, ResumeError
from charlm.training.choice import BUDGETS, HIDDEN_OF_SIZE, budget_of
from charlm.training.trainer import Trainer

FREE = (*BUDGETS, "patience", "threads")
"""Settings that a resumed run may change. With other threads it goes on as well, but not to the bit."""


@dataclass(frozen=True)
class SavedRun:
    """What NAME.resume.safetensors holds.

    network, train, text: the settings of the run.  digest: of its text.
    arrays, trainer: what `Trainer.snapshot` returned.
    """

    path: Path
    network: NetworkConfig
    train: TrainConfig
    text: TextConfig
    digest: str
    arrays: dict[str, Array]
    trainer: dict[str, Any]

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
                facts["corpus"],
                arrays,
                dict(facts["trainer"]),
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
            "corpus": self.digest,
            "trainer": self.trainer,
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

    def check_text(self, digest: str) -> None:
        """Raise ResumeError unless `digest` is that of the run's text."""
        if digest != self.digest:
            raise ResumeError(
                "the text is not the one that the run has learned from; "
                "name the same files in the same order, or start a new run"
            )

    def restore(self, trainer: Trainer) -> str:
        """Bring a trainer to where the run stopped; returns a line that says where that is.

        Raises ResumeError if the state does not fit, or no budget or patience is left.
        """
        try:
            trainer.restore(self.arrays, self.trainer)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self.misfit(self.path, error) from error
        budget = budget_of(trainer.config)
        if trainer.share >= 1:
            raise ResumeError(f"the run has used up its budget of {budget}; a larger one, such as --minutes, goes on")
        if trainer.has_lost_patience:
            raise ResumeError("the run has stopped early, for its held-out loss rose; --patience 0 trains on")
        return f"resumed behind step {trainer.step:,}, {trainer.share:.0%} of {budget}"

    @staticmethod
    def misfit(path: Path, error: Exception) -> ResumeError:
        """Return the error for a state whose contents are not what this charlm writes."""
        return ResumeError(f"{path}: not the state of a run that this charlm can resume ({error!r}); start a new run")
