"""One training run: from the paths of texts to a model file, a log and a state to resume from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from time import monotonic
from typing import Any

import numpy as np

from charlm.engines.create import check_network, create_engine, create_process_group
from charlm.errors import ConfigError, DivergedError
from charlm.kernels.threads import blas_on_one_thread
from charlm.model import LanguageModel, load
from charlm.nn.networks import make_network
from charlm.runs import setup
from charlm.runs.files import Files, PathLike, run_lock
from charlm.runs.log import Log
from charlm.runs.resume import SavedRun, check_not_finished, identity
from charlm.runs.saving import Saver
from charlm.runs.setup import RunOptions, Setup
from charlm.tasks import find_task
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.lists import is_list
from charlm.text.windows import batches_over
from charlm.training.learner import Learner
from charlm.training.members import Members
from charlm.training.memory import check_memory, run_memory
from charlm.training.recipes import budget_of, choose
from charlm.training.report import Event, OnEvent, StepReport, log_event
from charlm.training.trainer import Trainable, Trainer
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


class Run:
    """A training run. Use it as a context, and iterate over `reports()`.

    Parameters
    ----------
    paths : sequence of path
        The texts; "-" is standard input.
    model : path
        The model file to write.
    settings : mapping, optional
        Fields of NetworkConfig and TrainConfig, and `size`. The recipe chooses missing ones, see
        `charlm.training.recipes`.
    options : RunOptions
        Tokens, engine, resuming, overwriting and saving.
    on_event : callable
        Receives an Event for each decision and each problem. By default they go to the logger "charlm".
    tuning : TrainingTuning
        Constants of evaluation, divergence and logging.

    Attributes
    ----------
    setup : Setup
        Text, settings and network, inside the context.
    memory : float
        Estimated memory of the run in bytes, inside the context.
    trainer : Trainer
        The optimisation loop, inside the context.
    group : ProcessGroup
        The processes that train together: several under torchrun. The main process alone reports events and writes
        files. After a restart by torchrun, the run continues from its last save.
    is_interrupted : bool
        Whether `stop` was called.

    Raises
    ------
    CharlmError
        On entering the context: if the settings, the text or the files do not allow the run.
    """

    def __init__(
        self,
        paths: Sequence[PathLike],
        model: PathLike,
        settings: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
        on_event: OnEvent = log_event,
        tuning: TrainingTuning = DEFAULT_TUNING,
    ) -> None:
        self.paths = paths
        self.files = Files(model)
        self.settings = dict(settings or {})
        self.options = options or RunOptions()
        self.tuning = tuning
        self.is_interrupted = False
        self._on_event = on_event
        self._resources = ExitStack()

    def __enter__(self) -> Run:
        options = self.options
        self.group = create_process_group(options.engine, self.paths)
        is_restart = self.group.restarts > 0  # of the same run, by torchrun
        resume = options.resume or (is_restart and self.files.has_state())
        overwrite = options.overwrite or is_restart
        self.files.check(self.paths, overwrite=overwrite, resume=resume)
        with ExitStack() as stack:
            if self.group.is_main_process:
                stack.enter_context(run_lock(self.files.lock))
                self.files.discard_leftovers()
                if self.group.is_elastic and overwrite and not (resume or is_restart):
                    self.files.delete_state()  # a restart must not resume from it
            saved = SavedRun.read(self.files.state_to_resume()) if resume else None
            parent = load(options.init_from) if options.init_from is not None and not resume else None
            self.setup = self._create_setup(saved, parent, stack)
            self.trainer = self._create_trainer(parent, stack)
            self._saver = Saver(
                self.setup, self.trainer, self.files if self.group.is_main_process else None,
                options.save_minutes, self._report_event, self.tuning,
            )  # fmt: skip
            if saved:
                self._resume(saved, is_restart)
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    def _create_setup(self, saved: SavedRun | None, parent: LanguageModel | None, stack: ExitStack) -> Setup:
        """Read the text, join the other processes, complete the settings and define the network.

        saved: the run to resume, or None.  parent: the model to start with, or None.  stack: leaves the processes.
        """
        settings, text = setup.resolve_settings(self.settings, self.options.text, saved, parent)
        draft = choose(settings, 1)  # for a text of one character: reports invalid settings before a long text is read
        check_network(self.options.engine, draft.network)
        corpus = Corpus.read(
            self.paths, text, hold_out=HoldOut(draft.train.valid, draft.train.held_out, draft.train.seed),
            vocabulary=saved.vocabulary if saved else None, base=parent.vocabulary if parent else None,
            scheme=setup.scheme_of(text, saved),
        )  # fmt: skip
        if saved:
            saved.check_text(identity(corpus))
        elif corpus.unknown_rate > self.tuning.max_unknown_fraction:
            fraction = f"{corpus.unknown_rate:.1%} of the training text"
            self._report_event(Event(f"{fraction} is rare and becomes UNK; a lower `min_count` keeps more"))
        if not saved and not text.lines and corpus.symbols is None and is_list(corpus):
            self._report_event(Event("nearly all lines are short; if each is a name or word, pass `lines=True`"))
        stack.enter_context(self.group)
        task = find_task(text.task)
        settings = {**settings, **task.sizes(len(corpus.labels))}
        choice = setup.choose_settings(settings, corpus, self.options.engine, self.group)
        if not saved and (hint := setup.gpu_hint(choice.network, self.options.engine)):
            self._report_event(Event(hint, is_warning=False))
        network = make_network(choice.network, len(corpus.vocabulary), start=corpus.vocabulary.eos)
        return Setup(text, corpus, choice, network, setup.hash_lines(corpus), task.forms(text, corpus))

    def _create_trainer(self, parent: LanguageModel | None, stack: ExitStack) -> Trainer:
        """Create the batches, start the engine, and create the trainer; `stack` closes them.

        Raises
        ------
        ResourceError
            If the run does not fit into the memory.
        """
        group, network, train, corpus = self.group, self.setup.network, self.setup.train, self.setup.corpus
        batches = batches_over(corpus, train, bidirectional=network.config.bidirectional)
        if batches.size_message:
            self._report_event(Event(batches.size_message, is_warning=False))
        batches.local_slice = group.local_slice(batches.streams)
        self.memory = run_memory(self.options.engine, network, train, batches)
        check_memory(self.memory, train.ensemble * network.size)
        with blas_on_one_thread:  # on a busy machine the threads of a BLAS wait for each other in small matrices
            params = [setup.initial_parameters(self.setup, parent, member) for member in range(train.ensemble)]
        if parent:
            message = f"started with a model of {parent.training.steps or 0:,} steps"
            self._report_event(Event(message, is_warning=False))
        held_out = setup.held_out_of(self.setup, group, self.tuning)
        learner: Trainable
        if train.ensemble > 1 and group.world_size > 1:
            raise ConfigError("`ensemble` starts its own processes; leave torchrun or `ensemble` out")
        if train.ensemble > 1:
            learner = stack.enter_context(
                Members(network, params, batches, train, self.options.engine, self._report_event, self.tuning)
            )
        else:
            engine = stack.enter_context(
                create_engine(self.options.engine, group, network, params[0], train, batches.steps, batches.streams)
            )
            learner = Learner(engine, batches, train, self._report_event, self.tuning, group)
            stack.callback(learner.guard.close)
        return Trainer(learner, group, held_out, train, self._report_event, self.tuning)

    def _resume(self, saved: SavedRun, is_restart: bool) -> None:
        """Load the saved state. All processes then use the best loss of the main process, which knows the files."""
        message = saved.restore(self.trainer)
        self._saver.resume_from(saved)
        best_loss = self.trainer.best_loss if self.group.is_main_process else -math.inf
        (self.trainer.best_loss,) = self.group.all_reduce_max(best_loss)
        if not is_restart:
            check_not_finished(self.trainer)
        self._report_event(Event(message, is_warning=False))

    def _report_event(self, event: Event) -> None:
        """Pass an event to `on_event`, in the main process only."""
        if self.group.is_main_process:
            self._on_event(event)

    @property
    def model(self) -> LanguageModel:
        """The model with the lowest held-out loss so far; the latest one without held-out text."""
        return self._saver.model

    def current_model(self) -> LanguageModel:
        """Return a model of the current averaged weights, which need not be the best; of an ensemble, the mixture."""
        return self._saver.current_model()

    def stop(self) -> None:
        """Ask the run to save and end after the current step."""
        self.is_interrupted = True

    def reports(self) -> Iterator[StepReport]:
        """Train and yield a report for each step; write model, state and log, periodically and at the end.

        Raises
        ------
        DivergedError
            If training diverges repeatedly. The best model is saved first; without any good step no file is written.
        CheckpointError
            If the model cannot be written at the end.
        """
        path = self.files.log if self.group.is_main_process else None
        with Log(path, self.trainer.step, self._report_event) as log:
            try:
                yield from self._train(log)
            except DivergedError as error:
                if self.trainer.step == 0 and math.isinf(self.trainer.best_loss):
                    log.remove()
                    raise DivergedError(f"{error}; there is no trained model to write") from error
                self._saver.finish(must_resume=self.is_interrupted)
                raise DivergedError(f"{error}; the best model so far is kept in {self.files.model}") from error

    def _train(self, log: Log) -> Iterator[StepReport]:
        """Yield the reports of the trainer; log and save between the steps."""
        saver, is_main = self._saver, self.group.is_main_process
        last_row = monotonic()
        losses: list[float] = []  # training losses since the last row of the log
        is_overwriting = self.trainer.step == 0 and is_main
        for report in self.trainer.reports():
            must_stop, must_save = self.group.all_reduce_max(
                self.is_interrupted, is_main and (saver.is_due or (report.is_best and saver.is_cheap))
            )
            if must_stop:  # never reset: a signal may come while the ranks agree, and counts in the next step
                self.is_interrupted = True
            is_last = report.is_last or bool(must_stop)
            losses.append(report.train_loss)
            if is_overwriting:
                self.files.delete_state()  # of the previous run
                is_overwriting = False
            if report.is_best:
                saver.record_best()
            if report.valid_loss is not None or is_last or monotonic() - last_row >= self.tuning.log_seconds:
                log.write(asdict(report) | {"train_loss": float(np.mean(losses))})
                last_row, losses = monotonic(), []
            if is_last:
                self._finish()
                yield report
                return
            if must_save:
                saver.save()
            yield report
        self._finish()  # the time budget ended in a step that diverged

    def _finish(self) -> None:
        """Write the files for the last time. The state stays if a resume, or a restart by torchrun, may need it."""
        train, steps = self.setup.train, self.trainer.step
        if not self.is_interrupted and train.minutes is not None and steps < self.tuning.few_steps:
            message = f"{budget_of(train)} sufficed for {steps:,} steps; the model has hardly learned"
            self._report_event(Event(f"{message}; more `minutes` or a smaller `hidden` makes more steps"))
        may_restart = self.group.is_elastic or self.group.world_size > 1
        if self.is_interrupted or self.options.keep_state or may_restart:
            self._saver.finish(must_resume=self.is_interrupted)
        else:
            self._saver.complete()
