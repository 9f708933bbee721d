"""One run of training: from the paths of texts to a model file, a log, and what is needed to resume."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np

from charlm.config import EngineConfig, TextConfig, check, is_real
from charlm.engines.create import check_network, create_engine, create_process_group
from charlm.errors import ConfigError, DivergedError
from charlm.machine import usable_cores
from charlm.model import LanguageModel, load
from charlm.nn.networks import make_network
from charlm.runs.files import Files, lock, release
from charlm.runs.log import Log
from charlm.runs.resume import SavedRun, identity
from charlm.runs.saving import Saver
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut
from charlm.text.novelty import MAX_LINES, lines_in, pack_hashes
from charlm.text.windows import batches_over
from charlm.training.memory import needed
from charlm.training.probe import characters_per_second
from charlm.training.recipes import REFERENCE_SPEED, choose
from charlm.training.report import StepReport
from charlm.training.trainer import Trainer
from charlm.training.warm_start import inherit, inherited

MOST_HELD_OUT = 200_000
"""Characters of the held-out text that are read at each evaluation."""
MUCH_UNKNOWN = 0.05
"""Share of the training text that becomes UNK from which on this is noted."""
LOG_SECONDS = 1.0
"""Seconds between rows of the log."""


class Run:
    """A run of training; use as a context, and iterate over `reports()`.

    paths: texts, "-" for standard input.  model: where the model is written.
    settings: fields of NetworkConfig and TrainConfig, and `size`; what is missing is chosen.
    text: how text becomes tokens.  overwrite: whether a model that is there may be replaced.
    resume: go on with the run that left NAME.resume.safetensors.
    save_minutes: minutes between saves; 0 saves after every step.
    init_from: a model whose weights and vocabulary to begin with; its file stays as it is.
    engine: what computes. With PyTorch under torchrun this is one of several ranks; the first prints and writes, and
    where torchrun has started them anew, the run goes on from its last save.

    After construction `choice.reason` and `notes` say what was decided, `memory` how many bytes the run takes; `model`
    is the best so far. More `notes` turn up while it runs; whoever shows them takes them out.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        model: str | os.PathLike[str],
        settings: Mapping[str, Any] | None = None,
        text: TextConfig | None = None,
        *,
        overwrite: bool = False,
        resume: bool = False,
        save_minutes: float = 1.0,
        init_from: str | os.PathLike[str] | None = None,
        engine: EngineConfig | None = None,
    ) -> None:
        self.files = Files(Path(model))
        self.engine = engine or EngineConfig()
        self.ranks = create_process_group(self.engine, paths)
        self.interrupted = False
        self.notes: list[str] = []
        check(is_real(save_minutes) and save_minutes >= 0, "save_minutes", save_minutes, "0 (each step) or more")
        is_restart = self.ranks.restarts > 0  # of the same run, by torchrun
        resume, overwrite = resume or (is_restart and os.path.exists(self.files.state)), overwrite or is_restart
        self.files.refuse_to_destroy(paths, overwrite=overwrite, resume=resume)
        with ExitStack() as stack:
            if self.ranks.is_main_process:
                stack.callback(release, lock(self.files.lock))
                self.files.discard_leftovers()
                if self.ranks.is_elastic and overwrite and not (resume or is_restart):
                    self.files.forget_state()  # a restart shall not take it for its own
            saved = SavedRun.read(self.files.state) if resume else None
            parent = load(init_from) if init_from is not None and not resume else None
            self._open(paths, dict(settings or {}), text or TextConfig(), saved, parent, stack)
            self._saver = Saver(self, save_minutes)
            if saved:
                self._saver.take_up(saved)
                best = self.trainer.best_loss if self.ranks.is_main_process else -math.inf
                (self.trainer.best_loss,) = self.ranks.all_reduce_max(best)
                if not is_restart:
                    saved.refuse_what_is_done(self.trainer)
            self._stack = stack.pop_all()

    @property
    def model(self) -> LanguageModel:
        """The model with the lowest held-out loss so far."""
        return self._saver.model

    def _open(
        self,
        paths: Sequence[str | os.PathLike[str]],
        settings: dict[str, Any],
        text: TextConfig,
        saved: SavedRun | None,
        parent: LanguageModel | None,
        stack: ExitStack,
    ) -> None:
        """Read the texts, settle the settings, and make ready to train."""
        if saved:
            settings, text = saved.settings(settings), saved.text_settings(text)
        if parent:
            settings = inherited(settings, parent.config)
            if parent.text.unit != text.unit:
                raise ConfigError(f"unit is {text.unit!r}, but the model to begin with has {parent.text.unit!r}")
        early = choose(settings, 1)
        known = early.train  # what is out of range is said before a long text is read
        check_network(self.engine, early.network)
        self.text = text
        corpus = Corpus.read(
            paths, text, hold_out=HoldOut(known.valid, known.held_out, known.seed),
            vocabulary=saved.vocabulary if saved else None, base=parent.vocabulary if parent else None,
        )  # fmt: skip
        self.corpus = stack.enter_context(corpus)
        if saved:
            saved.check_text(identity(self.corpus))
        elif self.corpus.rates.unknown > MUCH_UNKNOWN:
            part = f"{self.corpus.rates.unknown:.1%} of the training text"
            self.notes.append(f"{part} is rare and becomes UNK; a lower --min-count keeps more")
        settings["threads"] = settings.get("threads") or max(1, usable_cores() // self.ranks.local_world_size)
        is_open = settings.get("hidden") is None and settings.get("size") is None  # the speed decides the size
        is_open = is_open and self.engine.name == "numpy"  # ranks must choose alike
        speed = characters_per_second(settings["threads"]) if is_open else REFERENCE_SPEED
        self.choice = choose(settings, len(self.corpus.train_ids), speed, vocabulary=len(self.corpus.vocabulary))
        self.train = self.choice.train
        self.vocabulary = self.corpus.vocabulary
        self.network = make_network(self.choice.network, len(self.vocabulary), start=self.vocabulary.eos)
        self.seen = self._lines_seen()
        self.trainer = stack.enter_context(self._make_trainer(parent, stack))
        if saved:
            self.notes.append(saved.restore(self.trainer))

    def _lines_seen(self) -> str:
        """Return the hashes of the training lines, for the model file; none of running text, or of too many lines."""
        ids = self.corpus.train_ids
        if not self.text.lines or np.count_nonzero(ids == self.vocabulary.eos) > MAX_LINES:
            return ""
        return pack_hashes(lines_in(ids, self.vocabulary))

    def _make_trainer(self, parent: LanguageModel | None, stack: ExitStack) -> Trainer:
        """Return a trainer at its start, with the weights of `parent` if there is one.

        Raises ResourceError if this machine has not the memory.
        """
        batches = batches_over(self.corpus, self.train, bidirectional=self.choice.network.bidirectional)
        if batches.shrunk:
            self.notes.append(batches.shrunk)
        batches.local_slice = self.ranks.local_slice(batches.streams)
        self.memory = needed(self.engine, self.network, self.train, batches)
        params = self.network.initial(np.random.default_rng([self.train.seed, 0]))
        if parent:
            ids = self.corpus.train_ids
            params, kept = inherit(self.network, params, parent.params, ids, self._line_end(parent))
            half = "" if kept == 1 else "; half of its weights is forgotten, as the new text is of another kind"
            self.notes.append(f"begun with a model of {parent.training.steps or 0:,} steps{half}")
        held_out = self.corpus.valid_ids[: MOST_HELD_OUT + 1]
        stack.enter_context(self.ranks)
        engine = create_engine(
            self.engine, self.ranks, self.network, params, self.train, batches.steps, batches.streams
        )
        return Trainer(
            self.network,
            batches,
            held_out if len(held_out) > 1 else None,
            self.train,
            threads=self.train.threads,
            engine=stack.enter_context(engine),
            group=self.ranks,
            notes=self.notes,
        )

    def _line_end(self, parent: LanguageModel) -> tuple[int, int] | None:
        """Return the ids of the newline and EOS, where lines end now and did not in the parent's text."""
        newline = parent.vocabulary.encode("\n")
        if parent.text.lines or not self.text.lines or parent.vocabulary.unk in newline:
            return None
        return int(newline[0]), parent.vocabulary.eos

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def stop(self) -> None:
        """Ask the run to save and end after the step it is at."""
        self.interrupted = True

    def reports(self) -> Iterator[StepReport]:
        """Train, a report each step; files are written on the way and at the end.

        Raises DivergedError if training explodes again and again; CheckpointError if nothing can be written at the end.
        A run that never gets beyond its start writes nothing.
        """
        with Log(self.files.log if self.ranks.is_main_process else None, self.trainer.step, self.notes) as log:
            try:
                yield from self._write_on_the_way(log)
            except DivergedError as error:
                if self.trainer.step == 0 and math.isinf(self.trainer.best_loss):
                    log.remove()
                    raise DivergedError(f"{error}; there is no trained model to write") from error
                self._saver.finish()
                raise DivergedError(f"{error}; the best model so far is kept in {self.files.model}") from error

    def _write_on_the_way(self, log: Log) -> Iterator[StepReport]:
        """Pass on the reports of the trainer, and write what is due."""
        logged = monotonic()
        losses: list[float] = []
        is_overwritten = self.trainer.step == 0 and self.ranks.is_main_process
        for report in self.trainer.reports():
            must_stop, must_save = self.ranks.all_reduce_max(
                self.interrupted, self.ranks.is_main_process and (report.is_best or self._saver.is_due)
            )
            self.interrupted = bool(must_stop)
            is_last = report.is_last or self.interrupted
            losses.append(report.train_loss)
            if is_overwritten:
                self.files.forget_state()  # of the run before
                is_overwritten = False
            if report.is_best:
                self._saver.take(report.train_loss)
            if report.valid_loss is not None or is_last or monotonic() - logged >= LOG_SECONDS:
                log.write(asdict(report) | {"train_loss": float(np.mean(losses))})
                logged, losses = monotonic(), []
            if is_last:
                self._saver.finish(report.train_loss)
                yield report
                return
            if must_save:
                self._saver.save(report.train_loss)
            yield report
        self._saver.finish()  # minutes that ran out in a step that diverged
