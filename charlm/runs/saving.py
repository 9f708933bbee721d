"""Writing the model and the state of a run.

The state is written before a model of the same step. After a kill between the two, the weights of the state are those
of the missing model, so that the resumed run writes it. A model of an earlier step is written before the state, which
does not hold it. There is a good state at any time after the first save.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from time import monotonic

from charlm.checkpoint import TrainingRecord
from charlm.errors import CheckpointError
from charlm.model import LanguageModel, load
from charlm.runs.files import Files
from charlm.runs.resume import SavedRun, identity
from charlm.runs.setup import Setup
from charlm.training.report import Event, OnEvent
from charlm.training.trainer import Trainer
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


@dataclass
class Saver:
    """Keeps the best model of a run, and writes it and the state. A failed save is reported once and tried again.

    Parameters
    ----------
    setup : Setup
        Text, settings and network of the run.
    trainer : Trainer
        Its weights and state are saved.
    files : Files or None
        None for a process that writes no files.
    save_minutes : float
        Minutes between saves; 0 saves after each step.
    on_event : callable
        Receives an Event when a save fails.
    tuning : TrainingTuning

    Attributes
    ----------
    model : LanguageModel
        The model with the lowest held-out loss so far; the current one before the first evaluation.
    """

    setup: Setup
    trainer: Trainer
    files: Files | None
    save_minutes: float
    on_event: OnEvent
    tuning: TrainingTuning = DEFAULT_TUNING

    def __post_init__(self) -> None:
        self._last_save = monotonic()
        self._save_seconds = 0.0  # duration of the last save
        self._reported: set[str] = set()  # failures
        self._record = TrainingRecord()
        self._is_unsaved = False  # whether the file of the model is older
        self.model = self.current_model()

    @property
    def is_due(self) -> bool:
        """Whether this process should save now."""
        return self.files is not None and monotonic() - self._last_save >= self.save_minutes * 60

    @property
    def is_cheap(self) -> bool:
        """Whether saving a better model now takes a small fraction of the time since the last save."""
        return self._save_seconds <= self.tuning.save_fraction * (monotonic() - self._last_save)

    def record_best(self) -> None:
        """Make the current weights the model; the next save writes the file."""
        setup, trainer = self.setup, self.trainer
        settings = asdict(setup.train)
        if setup.train.ensemble == 1:
            del settings["ensemble"]  # the files of one network stay as they are
        self._record = TrainingRecord(
            sources=setup.corpus.source.names,
            characters=setup.corpus.source.n_characters,
            digest=setup.corpus.source.digest,
            steps=trainer.step,
            epochs=round(trainer.learner.epoch, 4),
            seconds=round(trainer.seconds, 2),
            train_loss=trainer.train_loss,
            valid_loss=None if math.isinf(trainer.best_loss) else trainer.best_loss,
            valid=setup.corpus.valid,
            logit_scale=round(trainer.logit_scale, 4),
            seed=setup.train.seed,
            settings=settings,
        )
        trainer.model_step = trainer.step
        self.model, self._is_unsaved = self.current_model(), True

    def save(self) -> None:
        """Write the state, and the model if it is new; report a failure and continue."""
        start = monotonic()
        try:
            self._write()
        except CheckpointError as error:
            if str(error) not in self._reported:
                self.on_event(Event(f"{error}; training continues, and the next save tries again"))
            self._reported.add(str(error))
        else:
            if self._reported:
                self.on_event(Event("saved again: the problem is solved"))
            self._reported.clear()
        self._last_save = monotonic()
        self._save_seconds = self._last_save - start

    def complete(self) -> None:
        """Write the model of a finished run, and delete its state.

        Raises
        ------
        CheckpointError
            If the model cannot be written. The run can be resumed from its last save, or from its end if that can
            be written.
        """
        self._record_latest()
        try:
            self._write_model()
        except CheckpointError:
            with suppress(CheckpointError):
                self._write()
            raise
        if self.files is not None:
            self.files.delete_state()

    def finish(self, *, must_resume: bool = False) -> None:
        """Save model and state for the last time.

        Parameters
        ----------
        must_resume : bool
            Whether a state that cannot be written is an error, because the run was interrupted.

        Raises
        ------
        CheckpointError
            If the model cannot be written, or the state of an interrupted run.
        """
        try:
            self._write()
        except CheckpointError as error:
            if self._is_unsaved or must_resume:
                raise
            self.on_event(Event(f"{error}; the model is written, but this run cannot be resumed from its end"))

    def resume_from(self, saved: SavedRun) -> None:
        """Find the model of a resumed run, or write it again, or wait for the next one.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        self._record = saved.record
        self.model = self.current_model()
        if self.files is None:
            return
        found = self._saved_model(self.files)
        if found is not None:
            loss = found.training.valid_loss
            if loss is not None and loss < self.trainer.best_loss:  # the state of that step could not be written
                self.trainer.best_loss = loss
            self.model = found
        elif self.trainer.model_step == self.trainer.step:
            self._is_unsaved = True
            self._write_model()
        else:
            self.trainer.best_loss = math.inf
            message = f"{self.files.model}: the best model of this run is missing; the next one is written"
            self.on_event(Event(message))

    def _saved_model(self, files: Files) -> LanguageModel | None:
        """Return the model in the file, if it belongs to the resumed run and is not older than its state."""
        with suppress(CheckpointError):
            found = load(files.model)
            steps = found.training.steps
            is_own = found.training.digest == self.setup.corpus.source.digest
            if is_own and steps is not None and steps >= self.trainer.model_step:
                return found
        return None

    def _write(self) -> None:
        """Write the state and the model if it is new; the second even if the first cannot be written."""
        self._record_latest()
        self.trainer.learner.free_buffers()
        state = self.trainer.state_dict()  # all processes take part
        if self.files is None:
            return
        setup = self.setup
        run = SavedRun(
            self.files.state, setup.network.config, setup.train, setup.text, setup.corpus.vocabulary,
            identity(setup.corpus), state, self._record, setup.corpus.labels,
        )  # fmt: skip
        holds_model = self.trainer.model_step == self.trainer.step
        first, second = (run.write, self._write_model) if holds_model else (self._write_model, run.write)
        try:
            first()
        finally:
            second()
        self.files.delete_old_state()

    def _record_latest(self) -> None:
        """Make the latest weights the model of a run without evaluations."""
        if math.isinf(self.trainer.best_loss):
            self.record_best()

    def _write_model(self) -> None:
        """Write the file of the model, if it is older than the model."""
        if self._is_unsaved and self.files is not None:
            self.model.save(self.files.model, overwrite=True)
            self._is_unsaved = False

    def current_model(self) -> LanguageModel:
        """Return a model of the averaged, calibrated weights."""
        setup, corpus = self.setup, self.setup.corpus
        record = replace(
            self._record, line_hashes=setup.line_hashes, forms=setup.forms, label_counts=corpus.label_counts
        )
        return LanguageModel(
            setup.network, self.trainer.weights(), corpus.vocabulary, setup.text, record, corpus.labels
        )
