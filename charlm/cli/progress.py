"""What `charlm train` prints: the settings, the progress (a bar on a terminal, lines elsewhere) and the result."""

from __future__ import annotations

import os
import sys
from math import exp, log
from typing import TextIO

from tqdm import tqdm
from tqdm.std import EMA

from charlm.cli.samples import TrainingSamples
from charlm.cli.tables import PSEUDO
from charlm.cli.terminal import is_quiet, warn, warn_as_is
from charlm.runs.run import Run
from charlm.training.memory import as_size
from charlm.training.report import Event, StepReport

tqdm.monitor_interval = 0  # no thread that monitors the bar
BAR = "{percentage:3.0f}%|{bar}| {desc}"
FRAME = len("100%|| ")
"""Columns of BAR without its bar and its description."""
MIN_BAR = 6
"""Minimum width of the bar, in columns; a narrower terminal gets fewer figures."""
MIN_SAMPLE = 24
"""Minimum width of a sample next to a loss, in columns; on a narrower terminal it has its own line."""
DEFAULT_COLUMNS = 80
"""Width of the bar, in columns, on a terminal that reports no width."""
ROWS = 20
"""Height of the terminal for tqdm, which hides a bar below the last row; some terminals report 0 rows."""
MAX_HOURS = 1000
"""Hours up to which the time left is printed exactly."""
SMOOTHING = 0.02
"""Weight of a new value in a running mean, in [0, 1]."""


def train_with_progress(run: Run, *, shows_progress: bool = True, shows_samples: bool = True) -> None:
    """Train to the end; print the settings, the progress with samples (on a terminal), and the result."""
    print_start(run)
    metrics = RunningMetrics(unit_of(run), is_pseudo=is_pseudo(run))
    if is_quiet() or not shows_progress:
        for _ in run.reports():
            pass
    elif sys.stderr.isatty():
        train_with_bar(run, metrics, TrainingSamples(run) if shows_samples else None)
    else:
        train_with_lines(run, metrics)
    print_result(run)


def unit_of(run: Run) -> str:
    """Return what a loss is per: "char", "word" or "label"."""
    return "label" if run.setup.network.config.outputs else run.setup.corpus.vocabulary.unit


def is_pseudo(run: Run) -> bool:
    """Return whether the losses are negative pseudo-log-likelihoods."""
    return run.setup.network.config.bidirectional and not run.setup.network.config.outputs


def print_start(run: Run) -> None:
    """Print the sizes of the text and of the run, and the settings."""
    corpus, vocabulary = run.setup.corpus, run.setup.corpus.vocabulary
    unit = "words and punctuation marks" if vocabulary.unit == "word" else "characters"
    warn(
        f"{corpus.source.n_characters:,} {unit}, {len(vocabulary)} in the vocabulary, "
        f"{f'{len(corpus.labels):,} labels, ' if corpus.labels else ''}"
        f"{len(corpus.valid_ids):,} held out; {run.setup.network.size:,} parameters, "
        f"about {as_size(run.memory)} of memory"
    )
    warn(run.setup.choice.reason)


def print_result(run: Run) -> None:
    """Print the path of the model and its held-out loss."""
    if run.trainer.must_stop_early:
        warn("stopped early: the held-out loss rises; the best model is kept; `patience=0` disables early stopping")
    nats, unit = run.model.training.valid_loss, unit_of(run)
    name = f"held-out {PSEUDO}" if is_pseudo(run) else "held-out"
    loss = "" if nats is None else f": {name} {nats:.4f} nats/{unit}, {nats / log(2):.4f} bits/{unit}"
    if nats is not None and unit == "word":
        per_character = nats / run.setup.corpus.characters_per_token
        loss += f", perplexity {exp(nats):,.4g} per word; about {per_character:.4f} nats/char"
    warn(f"wrote {run.files.model}{loss}")


def print_event(event: Event) -> None:
    """Print an event, above the bar if there is one."""
    with tqdm.external_write_mode(file=sys.stderr):
        warn(event.message)


def train_with_bar(run: Run, metrics: RunningMetrics, samples: TrainingSamples | None) -> None:
    """Draw a bar, at most ten times a second; print a sample above it at each evaluation."""
    columns = None if has_width(sys.stderr) else DEFAULT_COLUMNS
    with tqdm(
        total=1.0, bar_format=BAR, file=sys.stderr, ncols=columns, dynamic_ncols=columns is None, nrows=ROWS
    ) as bar:
        for report in run.reports():
            metrics.add(report)
            bar.set_description_str(metrics.description(report, bar.ncols or DEFAULT_COLUMNS), refresh=False)
            bar.update(min(report.progress, 1.0) - bar.n)
            if samples and report.valid_loss is not None:
                print_sample(samples, report, metrics.short_loss(), bar.ncols or DEFAULT_COLUMNS)


def print_sample(samples: TrainingSamples, report: StepReport, loss: str, columns: int) -> None:
    """Print the held-out loss of an evaluation and a sample above the bar, in one line or on a narrow terminal two."""
    head = f"{min(report.progress, 1):4.0%}  {loss}  "
    left = columns - len("charlm: ") - len(head) - 1
    is_narrow = left < MIN_SAMPLE
    width = columns - len("charlm:   ") - 1 if is_narrow else left
    sample = samples.draw(width, report.step, is_last=report.is_last)
    if sample:
        with tqdm.external_write_mode(file=sys.stderr):
            for line in [head.rstrip(), f"  {sample}"] if is_narrow else [head + sample]:
                warn_as_is(line)


def has_width(stream: TextIO) -> bool:
    """Return whether a terminal reports its width."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:
        return False


def train_with_lines(run: Run, metrics: RunningMetrics) -> None:
    """Print a line at each evaluation; without evaluations, at each tenth of the budget."""
    tenths = 0
    for report in run.reports():
        metrics.add(report)
        if report.valid_loss is not None or int(report.progress * 10) > tenths:
            tenths = int(report.progress * 10)
            warn(f"{min(report.progress, 1):4.0%}  {metrics.line(report)}")


class RunningMetrics:
    """Running means of loss and speed, the last held-out loss, and the time left.

    Parameters
    ----------
    unit : "char", "word" or "label"
    is_pseudo : whether the losses are negative pseudo-log-likelihoods
    """

    def __init__(self, unit: str, *, is_pseudo: bool = False) -> None:
        self.unit = unit
        self.is_pseudo = is_pseudo
        self.loss, self.speed = EMA(SMOOTHING), EMA(SMOOTHING)
        self.valid_loss: float | None = None
        self.first: StepReport | None = None

    def add(self, report: StepReport) -> None:
        """Update the means with a step."""
        self.first = self.first or report
        self.loss(report.train_loss)
        self.speed(report.chars_per_second)
        if report.valid_loss is not None:
            self.valid_loss = report.valid_loss

    def line(self, report: StepReport) -> str:
        """Return a line on a step: losses, speed, time left."""
        losses = f"{PSEUDO}: " * self.is_pseudo + "  ".join(self.losses())
        return f"step {report.step:,}  {losses}  {self.chars_per_second()}  {self.time_left(report)} left"

    def description(self, report: StepReport, columns: int) -> str:
        """Return the text next to a bar: the longest that leaves MIN_BAR columns for the bar, at least a loss."""
        time, speed, losses = f"{self.time_left(report)} left", self.chars_per_second(), self.losses()
        all_losses = f"{PSEUDO}: " * self.is_pseudo + "  ".join(losses)
        last_loss, short_loss = "pseudo " * self.is_pseudo + losses[-1], self.short_loss()
        texts = [
            "  ".join(figures)
            for figures in (
                (time, speed, all_losses), (time, speed, last_loss), (time, speed, short_loss), (time, short_loss),
            )
        ]  # fmt: skip
        return next((text for text in texts if len(text) + FRAME + MIN_BAR <= columns), short_loss)

    def short_loss(self) -> str:
        """Return the last of the losses in nats."""
        return "pseudo " * self.is_pseudo + self.losses()[-1].partition(" (")[0]

    def losses(self) -> list[str]:
        """Return the training loss and, after an evaluation, the held-out loss, in nats and bits."""
        losses = {"train": self.loss(), "held-out": self.valid_loss}
        return [
            f"{name} {nats:.3f} nats/{self.unit} ({nats / log(2):.3f} bits/{self.unit})"
            for name, nats in losses.items()
            if nats is not None
        ]

    def chars_per_second(self) -> str:
        """Return the speed with its unit."""
        return f"{self.speed():,.0f} {'char' if self.unit == 'label' else self.unit}s/s"

    def time_left(self, report: StepReport) -> str:
        """Return the time until the budget is used up, at the mean rate since the first step of this process.

        Before the second step the rate is unknown: reading the text, or an earlier run, had another one.
        """
        if report.progress >= 1:
            return clock(0)
        if self.first is None or report.progress <= self.first.progress:
            return "-:--"
        seconds = report.seconds - self.first.seconds
        return clock(seconds * (1 - report.progress) / (report.progress - self.first.progress))


def clock(seconds: float) -> str:
    """Format a duration as 1:02:03 or 2:03, or as more than MAX_HOURS."""
    if not seconds < MAX_HOURS * 3600:
        return f"over {MAX_HOURS:,} hours"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
