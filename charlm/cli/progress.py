"""The progress of training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from math import log
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from charlm.cli.tables import PSEUDO
from charlm.cli.terminal import warn

if TYPE_CHECKING:
    from charlm.runs.run import Run
    from charlm.training.report import Event, StepReport

tqdm.monitor_interval = 0  # no thread that only watches
BAR = "{percentage:3.0f}%|{bar}| {desc}"
WIDE = 120
"""Columns that two losses need."""
UNKNOWN_COLUMNS = 80
"""Width of a bar on a terminal that reports no width."""
MAX_HOURS = 1000
"""Hours from which the time left is not printed exactly."""


def follow(run: Run) -> None:
    """Train to the end, and show the progress."""
    smooth = Smoothed(run.setup.corpus.vocabulary.unit, is_pseudo=run.setup.network.config.bidirectional)
    if sys.stderr.isatty():
        follow_with_bar(run, smooth)
    else:
        follow_with_lines(run, smooth)


def show_event(event: Event) -> None:
    """Print an event, above the bar if there is one."""
    with tqdm.external_write_mode(file=sys.stderr):
        warn(event.message)


def follow_with_bar(run: Run, smooth: Smoothed) -> None:
    """Draw a tqdm bar that is redrawn at most ten times a second."""
    fixed = None if has_width(sys.stderr) else UNKNOWN_COLUMNS
    with tqdm(total=1.0, bar_format=BAR, file=sys.stderr, ncols=fixed, dynamic_ncols=fixed is None, leave=True) as bar:
        for report in run.reports():
            smooth.add(report)
            bar.set_description_str(smooth.figures(report, bar.ncols or UNKNOWN_COLUMNS), refresh=False)
            bar.update(min(report.progress, 1.0) - bar.n)


def has_width(stream: TextIO) -> bool:
    """Whether a terminal reports its number of columns."""
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:
        return False


def follow_with_lines(run: Run, smooth: Smoothed) -> None:
    """Print a line at each evaluation, or each tenth of the budget where there is nothing to evaluate."""
    tenths = 0
    for report in run.reports():
        smooth.add(report)
        if report.valid_loss is not None or int(report.progress * 10) > tenths:
            tenths = int(report.progress * 10)
            warn(f"{min(report.progress, 1):4.0%}  {smooth.line(report)}")


class Smoothed:
    """Running means of the loss and the speed, and the time left.

    unit: "char" or "word".  is_pseudo: whether the losses are negative pseudo-log-likelihoods.
    """

    def __init__(self, unit: str, *, is_pseudo: bool = False) -> None:
        self.unit = unit
        self.is_pseudo = is_pseudo
        self.loss = 0.0
        self.speed = 0.0
        self.steps = 0
        self.valid_loss: float | None = None
        self._first: StepReport | None = None

    def add(self, report: StepReport) -> None:
        """Take in a step."""
        self._first = self._first or report
        self.steps += 1
        follow = max(0.02, 1 / self.steps)
        self.loss += follow * (report.train_loss - self.loss)
        self.speed += follow * (report.chars_per_second - self.speed)
        if report.valid_loss is not None:
            self.valid_loss = report.valid_loss

    def line(self, report: StepReport) -> str:
        """Say where the run is, each figure with its unit."""
        name = f"{PSEUDO}: " if self.is_pseudo else ""
        held_out = "" if self.valid_loss is None else f"  held-out {losses(self.valid_loss, self.unit)}"
        return (
            f"step {report.step:,}  {name}train {losses(self.loss, self.unit)}{held_out}  "
            f"{self.speed:,.0f} {self.unit}s/s  {self.time_left(report)} left"
        )

    def figures(self, report: StepReport, columns: int) -> str:
        """Say the same beside a bar: what matters most first, and on a narrow terminal one loss alone."""
        both = [f"train {losses(self.loss, self.unit)}"]
        if self.valid_loss is not None:
            both.append(f"held-out {losses(self.valid_loss, self.unit)}")
        is_wide = columns >= WIDE + len(PSEUDO) * self.is_pseudo
        shown = both if is_wide else both[-1:]
        speed = [f"{self.speed:,.0f} {self.unit}s/s"]
        if self.is_pseudo:
            shown[0] = f"{PSEUDO if is_wide else 'pseudo'}: {shown[0]}"
            speed = speed if is_wide else []
        return "  ".join([f"{self.time_left(report)} left", *speed, *shown])

    def time_left(self, report: StepReport) -> str:
        """Write how long the rest of the budget takes at the mean rate since the first step of this process.

        The first step gives no rate yet: what came before it (reading a text, an earlier run) has another one.
        """
        if report.progress >= 1:
            return clock(0)
        if self._first is None or report.progress <= self._first.progress:
            return "-:--"
        seconds = report.seconds - self._first.seconds
        return clock(seconds * (1 - report.progress) / (report.progress - self._first.progress))


def losses(nats: float, unit: str) -> str:
    """Write a loss per `unit`, a char or a word, in nats and bits."""
    return f"{nats:.3f} nats/{unit} ({nats / log(2):.3f} bits/{unit})"


def clock(seconds: float) -> str:
    """Write a span of time as 1:02:03 or 2:03, or as more than MAX_HOURS."""
    if not seconds < MAX_HOURS * 3600:
        return f"over {MAX_HOURS:,} hours"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
