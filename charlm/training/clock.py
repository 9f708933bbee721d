"""Seconds of training, and how often there is time to evaluate."""

from __future__ import annotations

from time import monotonic

EVALUATIONS = 10
"""Evaluations of a run, at most, spread evenly over its budget."""
EVALUATION_FRACTION = 0.1
"""Fraction of the training time that evaluations may take where minutes are the budget."""
READING_FACTOR = 2.0
"""Held-out characters per second over training characters per second, at least: nothing is back-propagated."""
MIN_HELD_OUT = 1000
"""Held-out characters of an evaluation, at least, however short the budget is."""


class Clock:
    """Counts the seconds of training: from `start` on, added to those before a stop."""

    def __init__(self) -> None:
        self._before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._before + (0.0 if self._started is None else monotonic() - self._started)

    def start(self) -> None:
        """Count from now on; a clock that runs goes on running."""
        if self._started is None:
            self._started = monotonic()

    def set(self, seconds: float) -> None:
        """Continue from `seconds`."""
        self._before = seconds
        if self._started is not None:
            self._started = monotonic()


class EvaluationPace:
    """Spaces evaluations by what they cost, so that they take a fraction of the training time.

    seconds: cost of an evaluation: that of the last one, or an estimate before the first.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_measured = False
        self._last = 0.0  # seconds of training at the end of the last evaluation

    def begin(self, now: float) -> None:
        """Set the training time, in seconds, from which the first interval counts."""
        self._last = now

    def estimate(self, characters: int, speed: float) -> None:
        """Estimate the cost before there is a measurement.

        characters: of the held-out text.  speed: characters per second of training.
        """
        if not self._is_measured:
            self.seconds = characters / (READING_FACTOR * speed)

    def record(self, seconds: float, now: float) -> None:
        """Note that an evaluation took `seconds` and ended at the training time `now`."""
        self.seconds, self._is_measured, self._last = seconds, True, now

    def missing(self, now: float) -> float:
        """Return how many seconds of evaluation are too many at the training time `now`; 0 or less for none."""
        return self.seconds - EVALUATION_FRACTION * (now - self._last)


def affordable(minutes: float, speed: float) -> int:
    """Return how many held-out characters one evaluation may read.

    minutes: the budget.  speed: characters per second of training.
    """
    return max(MIN_HELD_OUT, int(EVALUATION_FRACTION * 60 * minutes * READING_FACTOR * speed))
