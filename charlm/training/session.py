"""One run of training: from the paths of texts to a model file, a log, and what is needed to resume."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np

from charlm.config import TextConfig
from charlm.errors import ConfigError
from charlm.model import LanguageModel, load
from charlm.nn.network import Network
from charlm.text.batches import batches_over
from charlm.text.corpus import Corpus
from charlm.text.novelty import MOST_LINES, lines_in, pack_hashes
from charlm.training.choice import REFERENCE_SPEED, choose
from charlm.training.files import Files, lock
from charlm.training.inheritance import grow_into, inherited
from charlm.training.probe import characters_per_second
from charlm.training.resume import SavedRun
from charlm.training.trainer import StepReport, Trainer

LOG_KEYS = (
    "step", "epoch", "seconds", "train_loss", "valid_loss", "learning_rate", "grad_norm", "chars_per_second",
)  # fmt: skip
MOST_HELD_OUT = 200_000
"""Characters of the held-out text that are read at each evaluation."""
LOG_SECONDS = 1.0
"""Seconds between rows of the log."""


class Session:
    """A run of training; use as a context, and iterate over `reports()`.

    paths: texts, "-" for standard input.  model: where the model is written.
    settings: fields of NetworkConfig and TrainConfig, and `size`; what is missing is chosen.
    text: how text becomes tokens.  overwrite: whether a model that is there may be replaced.
    resume: go on with the run that left NAME.resume.safetensors.
    save_minutes: minutes between saves.
    init_from: a model whose weights and vocabulary to begin with; its file stays as it is.

    After construction `choice.reason` and `notes` say what was decided; `model` is the best so far.
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
    ) -> None:
        started = monotonic()
        self.files = Files(Path(model))
        self.interrupted = False
        self.notes: list[str] = []
        self._save_seconds = save_minutes * 60
        self.files.refuse_to_destroy(paths, overwrite=overwrite, resume=resume)
        with ExitStack() as stack:
            stack.callback(lock(self.files.lock).release)
            saved = SavedRun.read(self.files.state) if resume else None
            parent = load(init_from) if init_from is not None and not resume else None
            self._open(paths, dict(settings or {}), text or TextConfig(), saved, parent, started, stack)
            self._stack = stack.pop_all()

    def _open(
        self,
        paths: Sequence[str | os.PathLike[str]],
        settings: dict[str, Any],
        text: TextConfig,
        saved: SavedRun | None,
        parent: LanguageModel | None,
        started: float,
        stack: ExitStack,
    ) -> None:
        """Read the texts, settle the settings, and make ready to train."""
        if saved:
            settings, text = saved.settings(settings), saved.text_settings(text)
        if parent:
            settings = inherited(settings, parent.config)
            if parent.text.unit != text.unit:
                raise ConfigError(f"unit is {text.unit!r}, but the model to begin with has {parent.text.unit!r}")
        known = choose(settings, 1).train  # what is out of range is said before a long text is read
        self.text = text
        base = parent.vocabulary if parent else None
        corpus = Corpus.read(paths, text, base=base, valid=known.valid, seed=known.seed)
        self.corpus = stack.enter_context(corpus)
        if saved:
            saved.check_text(self.corpus.digest)
        threads = settings.get("threads") or os.cpu_count() or 1
        is_open = settings.get("hidden") is None and settings.get("size") is None  # the speed decides the size
        speed = characters_per_second(threads) if is_open else REFERENCE_SPEED
        self.choice = choose(settings, len(self.corpus.train_ids), speed)
        self.train = self.choice.train
        self.vocabulary = self.corpus.vocabulary
        self.network = Network(self.choice.network, len(self.vocabulary), start=self.vocabulary.eos)
        params = self.network.initial(np.random.default_rng([self.train.seed, 0]))
        if parent:
            grow_into(params, parent.params)
            self.notes.append(f"begun with a model of {parent.training.get('steps', 0):,} steps")
        ends = int(np.count_nonzero(self.corpus.train_ids == self.vocabulary.eos)) if text.lines else MOST_LINES + 1
        self._seen = pack_hashes(lines_in(self.corpus.train_ids, self.vocabulary)) if ends <= MOST_LINES else ""
        batches = batches_over(self.corpus, self.train)
        if batches.shrunk:
            self.notes.append(batches.shrunk)
        held_out = self.corpus.valid_ids[: MOST_HELD_OUT + 1]
        trainer = Trainer(
            self.network,
            params,
            batches,
            held_out if len(held_out) > 1 else None,
            self.train,
            threads=threads,
            started=started,
        )
        self.trainer = stack.enter_context(trainer)
        if saved:
            self.notes.append(saved.restore(self.trainer))
        self._is_saved = saved is not None and self.files.model.exists()
        self.model = LanguageModel(self.network, params, self.vocabulary, text)
        if self._is_saved:
            self.model = load(self.files.model)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def stop(self) -> None:
        """Ask the run to save and end after the step it is at."""
        self.interrupted = True

    def reports(self) -> Iterator[StepReport]:
        """Train, a report each step; files are written on the way and at the end."""
        saved = logged = monotonic()
        losses: list[float] = []
        with open(self.files.log, "a" if self.trainer.step else "w", encoding="utf-8") as log:
            for report in self.trainer.reports():
                is_last = report.is_last or self.interrupted
                losses.append(report.train_loss)
                if report.is_best or (is_last and self.trainer.evaluates_nothing):
                    self.save_model(report)
                now = monotonic()
                if report.valid_loss is not None or is_last or now - logged >= LOG_SECONDS:
                    row = asdict(report) | {"train_loss": float(np.mean(losses))}
                    print(json.dumps({key: row[key] for key in LOG_KEYS}), file=log, flush=True)
                    logged, losses = now, []
                if is_last or now - saved >= self._save_seconds:
                    self.save_state()
                    saved = now
                yield report
                if is_last:
                    break
        if not self._is_saved:
            self.save_model(report)

    def save_model(self, report: StepReport) -> None:
        """Write the model as it is now, its weights averaged."""
        self.model = LanguageModel(
            self.network,
            self.network.parameters(self.trainer.average.copy()),
            self.vocabulary,
            self.text,
            self.facts(report),
        )
        self.model.save(self.files.model, overwrite=True)
        self._is_saved = True

    def save_state(self) -> None:
        """Write what is needed to resume."""
        arrays, facts = self.trainer.snapshot()
        digest = self.corpus.digest
        SavedRun(self.files.state, self.choice.network, self.train, self.text, digest, arrays, facts).write()

    def facts(self, report: StepReport) -> dict[str, Any]:
        """Return what the model file says of its training."""
        facts: dict[str, Any] = {
            "sources": list(self.corpus.sources),
            "characters": self.corpus.n_characters,
            "digest": self.corpus.digest,
            "steps": report.step,
            "epochs": round(report.epoch, 4),
            "seconds": round(report.seconds, 2),
            "train_loss": report.train_loss,
            "valid_loss": report.valid_loss,
            "valid": self.train.valid,
            "seed": self.train.seed,
            "settings": asdict(self.train),
        }
        if self._seen:
            facts["line_hashes"] = self._seen
        return facts


def train(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] = "charlm.safetensors",
    *,
    text: TextConfig | None = None,
    overwrite: bool = False,
    resume: bool = False,
    init_from: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> LanguageModel:
    """Train a model on texts, write it, and return the best one found.

    paths: one or several texts.  model: where the model is written.  init_from: a model to begin with.
    text: how text becomes tokens.  settings: fields of NetworkConfig and TrainConfig, such as minutes=2, hidden=128.
    Raises a CharlmError: see `charlm.errors`.
    """
    several = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    with Session(several, model, settings, text, overwrite=overwrite, resume=resume, init_from=init_from) as session:
        for _ in session.reports():
            pass
        return session.model
