"""The samples that `charlm train` shows at its evaluations, so that one sees the model learn."""

from __future__ import annotations

from itertools import count
from time import monotonic

from wcwidth import wcwidth

from charlm.cli.terminal import escape
from charlm.errors import DivergedError
from charlm.runs.run import Run
from charlm.sampling.sampler import Sampler

FRACTION = 0.01
"""Fraction of the training time that samples may take."""
LAST_SECONDS = 0.5
"""Seconds that the last sample may take, which is drawn after the training."""
MIN_CHARACTERS = 8
"""Characters of a sample that are drawn even if they take longer."""
LINE_BREAK = " / "
"""What separates the lines of a sample, which is shown in one line."""


class TrainingSamples:
    """Draws short texts from the current weights of a run, in a fraction of its time.

    The random numbers are those of the samples alone, so that training does not depend on them.

    Parameters
    ----------
    run : a run whose training starts now
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._start = monotonic()
        self._spent = 0.0  # seconds for all samples
        self._preparation = 0.0  # seconds for the weights of the last sample

    def draw(self, columns: int, seed: int, *, is_last: bool = False) -> str:
        """Return a text of at most `columns` columns in one line; empty if there is no time to draw it."""
        start = monotonic()
        allowed = self._preparation + LAST_SECONDS if is_last else FRACTION * (start - self._start) - self._spent
        network = self._run.setup.network.config
        if network.bidirectional or network.outputs or allowed <= self._preparation:
            return ""
        model, shown = self._run.current_model(), ""
        if model.reads_labels:
            label = model.labels[seed % len(model.labels)]
            model, shown = model.conditioned(label), f"{label}: "
        sampler = Sampler(model.prepared, model.vocabulary, model.sampling(None, {"length": columns}))
        self._preparation = monotonic() - start
        text = draw_until(sampler, columns, seed, start + allowed)
        self._spent += monotonic() - start
        return fit(in_one_line(shown + text), columns)


def draw_until(sampler: Sampler, characters: int, seed: int, deadline: float) -> str:
    """Draw text, or lines, up to a number of characters or a time of `monotonic`, but at least MIN_CHARACTERS."""
    drawn = ""
    try:
        for number in count():
            for piece in sampler.stream(seed=seed + number):
                drawn += piece
                if len(drawn) >= characters or (len(drawn) >= MIN_CHARACTERS and monotonic() > deadline):
                    return drawn
            drawn += "\n"
    except DivergedError:  # the outputs are not finite; training reports it
        return drawn
    return drawn


def in_one_line(text: str) -> str:
    """Join the lines of a text that have characters other than spaces, and escape control characters."""
    lines = (escape(line).strip() for line in text.split("\n"))
    return LINE_BREAK.join(line for line in lines if line)


def fit(text: str, columns: int) -> str:
    """Return the start of a text that takes at most this number of columns of a terminal."""
    width = 0
    for index, character in enumerate(text):
        width += max(0, wcwidth(character))
        if width > columns:
            return text[:index]
    return text
