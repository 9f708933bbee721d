"""What a run writes, when, in which order, and what happens when it cannot.

The state is written before the model that belongs to it. A kill between the two leaves a state whose weights are
that model, so that whoever goes on can write it: once there was a save, there is always a good state.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, replace
from time import monotonic
from typing import Protocol

from charlm.checkpoint import TrainingRecord
from charlm.config import TextConfig, TrainConfig
from charlm.engines.process_group import ProcessGroup
from charlm.errors import CheckpointError
from charlm.model import LanguageModel, load
from charlm.nn.base import BaseNetwork
from charlm.runs.files import Files
from charlm.runs.resume import SavedRun, identity
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.recipes import Choice
from charlm.training.trainer import Trainer


class SavableRun(Protocol):
    """What the saver reads of a run."""

    files: Files
    ranks: ProcessGroup
    trainer: Trainer
    corpus: Corpus
    vocabulary: Vocabulary
    network: BaseNetwork
    choice: Choice
    train: TrainConfig
    text: TextConfig
    seen: str
    notes: list[str]
    interrupted: bool


class Saver:
    """Keeps the model of a session, and writes it and the state.

    A save that fails is told of in `session.notes`, and tried again at the next.
    minutes: between saves; 0 saves after every step.
    model: with the lowest held-out loss so far; before anything was measured, the latest.
    """

    def __init__(self, session: SavableRun, minutes: float) -> None:
        self.session = session
        self._record = TrainingRecord()
        self.model = self._current()
        self._unsaved: LanguageModel | None = None
        self._seconds = minutes * 60
        self._saved = monotonic()
        self._problems: set[str] = set()  # told already

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next save."""
        return monotonic() - self._saved >= self._seconds

    def take(self, train_loss: float | None) -> None:
        """Take the weights as they are now, averaged, for the model; its file is written at the next save."""
        session, trainer = self.session, self.session.trainer
        self._record = TrainingRecord(
            sources=session.corpus.source.names,
            characters=session.corpus.source.n_characters,
            digest=session.corpus.source.digest,
            steps=trainer.step,
            epochs=round(trainer.epoch, 4),
            seconds=round(trainer.seconds, 2),
            train_loss=train_loss,
            valid_loss=None if math.isinf(trainer.best_loss) else trainer.best_loss,
            valid=session.corpus.valid,
            logit_scale=round(trainer.logit_scale, 4),
            seed=session.train.seed,
            settings=asdict(session.train),
        )
        trainer.model_step = trainer.step
        self.model = self._unsaved = self._current()

    def save(self, train_loss: float | None) -> None:
        """Write the state, and the model if there is a new one; training goes on if that fails."""
        self._saved = monotonic()
        try:
            self._write(train_loss)
        except CheckpointError as error:
            if str(error) not in self._problems:
                self.session.notes.append(f"{error}; training goes on, and the next save tries again")
            self._problems.add(str(error))
        else:
            if self._problems:
                self.session.notes.append("saved again: what was in the way is gone")
            self._problems.clear()

    def finish(self, train_loss: float | None = None) -> None:
        """Write everything for the last time.

        Raises CheckpointError if there is no model then, or the run was interrupted and cannot be resumed.
        """
        try:
            self._write(train_loss)
        except CheckpointError as error:
            if self._unsaved is not None or self.session.interrupted:
                raise
            self.session.notes.append(f"{error}; the model is written, but this run cannot be resumed from its end")

    def _write(self, train_loss: float | None) -> None:
        """Write the state, then the model, even if the state cannot be written."""
        session = self.session
        if math.isinf(session.trainer.best_loss):
            self.take(train_loss)
        session.trainer.engine.free_buffers()
        arrays, facts = session.trainer.snapshot()  # all ranks take part
        if not session.ranks.is_main_process:
            return
        choice = session.choice
        run = SavedRun(
            session.files.state, choice.network, choice.train, session.text, session.vocabulary,
            identity(session.corpus), arrays, facts, self._record,
        )  # fmt: skip
        try:
            run.write()
        finally:
            self._write_model()

    def _write_model(self) -> None:
        if self._unsaved is not None:
            self._unsaved.save(self.session.files.model, overwrite=True)
            self._unsaved = None

    def take_up(self, saved: SavedRun) -> None:
        """Find the model that the stopped run left; if it is not there, write it again, or wait for the next.

        Raises CheckpointError if it cannot be written.
        """
        trainer, path = self.session.trainer, self.session.files.model
        self._record = saved.model
        found = None
        with suppress(CheckpointError):
            found = load(path) if self.session.ranks.is_main_process else None
        if found is not None and found.training.digest == self.session.corpus.source.digest:
            loss, step = found.training.valid_loss, found.training.steps
            if step is not None and step >= trainer.model_step:
                if loss is not None and loss < trainer.best_loss:  # of a state that could not be written
                    trainer.best_loss = loss
                self.model = found
                return
        if trainer.model_step == trainer.step and self.session.ranks.is_main_process:
            self.model = self._unsaved = self._current()
            self._write_model()
        else:
            trainer.best_loss = math.inf
            self.model = self._current()
            self.session.notes.append(f"{path}: the best model of this run is not there; the next one is written")

    def _current(self) -> LanguageModel:
        """Return the model as it is now, its weights averaged and its head as sharp as held-out text wants it."""
        session = self.session
        record = replace(self._record, line_hashes=session.seen)
        return LanguageModel(session.network, session.trainer.weights(), session.vocabulary, session.text, record)
