"""The progress of training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from math import log
from typing import TYPE_CHECKING

from tqdm import tqdm

from charlm.cli.terminal import escape, warn

if TYPE_CHECKING:
    from charlm.training.report import StepReport
    from charlm.training.session import Session

BAR = "{percentage:3.0f}%|{bar}| {desc}"
WIDE = 120
"""Columns that two losses need."""


def follow(session: Session) -> None:
    """Run the session to its end, and show how it goes."""
    if sys.stderr.isatty():
        follow_with_bar(session)
    else:
        follow_with_lines(session)


def follow_with_bar(session: Session) -> None:
    """Draw a tqdm bar that is redrawn at most ten times a second."""
    smooth = Smoothed(session.vocabulary.unit)
    with tqdm(total=1.0, bar_format=BAR, file=sys.stderr, dynamic_ncols=True, leave=True) as bar:
        for report in session.reports():
            smooth.add(report)
            bar.set_description_str(smooth.figures(report, bar.ncols or 80), refresh=False)
            bar.update(min(report.share, 1.0) - bar.n)
            while session.notes:
                bar.write(f"charlm: {escape(session.notes.pop(0))}", file=sys.stderr)


def follow_with_lines(session: Session) -> None:
    """Print a line at each evaluation, or each tenth of the budget where there is nothing to evaluate."""
    smooth = Smoothed(session.vocabulary.unit)
    tenths = 0
    for report in session.reports():
        smooth.add(report)
        say_notes(session)
        if report.valid_loss is not None or int(report.share * 10) > tenths:
            tenths = int(report.share * 10)
            warn(f"{min(report.share, 1):4.0%}  {smooth.line(report)}")


def say_notes(session: Session) -> None:
    """Print what the session has to say beside its reports, once."""
    while session.notes:
        warn(session.notes.pop(0))


class Smoothed:
    """Running means of what jumps from step to step."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.loss = 0.0
        self.speed = 0.0
        self.steps = 0
        self.valid_loss: float | None = None

    def add(self, report: StepReport) -> None:
        """Take in a step."""
        self.steps += 1
        follow = max(0.02, 1 / self.steps)
        self.loss += follow * (report.train_loss - self.loss)
        self.speed += follow * (report.chars_per_second - self.speed)
        if report.valid_loss is not None:
            self.valid_loss = report.valid_loss

    def line(self, report: StepReport) -> str:
        """Say where the run is, each figure with its unit."""
        held_out = "" if self.valid_loss is None else f"  held-out {losses(self.valid_loss, self.unit)}"
        return (
            f"step {report.step:,}  train {losses(self.loss, self.unit)}{held_out}  "
            f"{self.speed:,.0f} {self.unit}s/s  {clock(time_left(report))} left"
        )

    def figures(self, report: StepReport, columns: int) -> str:
        """Say the same beside a bar: what matters most first, and on a narrow terminal one loss alone."""
        both = [f"train {losses(self.loss, self.unit)}"]
        if self.valid_loss is not None:
            both.append(f"held-out {losses(self.valid_loss, self.unit)}")
        shown = both if columns >= WIDE else both[-1:]
        return "  ".join([f"{clock(time_left(report))} left", f"{self.speed:,.0f} {self.unit}s/s", *shown])


def time_left(report: StepReport) -> float:
    """Return the seconds that the rest of the budget will take."""
    return max(report.seconds * (1 - report.share) / report.share, 0.0) if report.share > 0 else 0.0


def losses(nats: float, unit: str) -> str:
    """Write a loss per `unit`, a char or a word, in nats and bits."""
    return f"{nats:.3f} nats/{unit} ({nats / log(2):.3f} bits/{unit})"


def clock(seconds: float) -> str:
    """Write a span of time as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
