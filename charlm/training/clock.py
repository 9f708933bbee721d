"""The training time, and how many evaluations it allows."""

from __future__ import annotations

from time import monotonic

from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


class Clock:
    """Counts the seconds of training, over several processes of one run."""

    def __init__(self) -> None:
        self._seconds_before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._seconds_before + (0.0 if self._started is None else monotonic() - self._started)

    def start(self) -> None:
        """Start counting; no effect on a running clock."""
        if self._started is None:
            self._started = monotonic()

    def state_dict(self) -> dict[str, float]:
        """Return the state of the clock."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a state; a running clock keeps running."""
        self._seconds_before = state["seconds"]
        if self._started is not None:
            self._started = monotonic()


class EvaluationPace:
    """Spaces evaluations by their cost, so that they take a fraction of the training time.

    Attributes
    ----------
    seconds : float
        Cost of an evaluation: the last measurement, or an estimate before the first.
    """

    def __init__(self, tuning: TrainingTuning = DEFAULT_TUNING) -> None:
        self.seconds = 0.0
        self._tuning = tuning
        self._is_measured = False
        self._last = 0.0  # training time at the end of the last evaluation

    def start(self, now: float) -> None:
        """Start the first interval at the training time `now` in seconds."""
        self._last = now

    def estimate(self, characters: int, speed: float) -> None:
        """Estimate the cost of an evaluation, unless it was measured.

        Parameters
        ----------
        characters : int
            Length of the held-out text.
        speed : float
            Characters per second of training.
        """
        if not self._is_measured:
            self.seconds = characters / (self._tuning.evaluation_speedup * speed)

    def record(self, seconds: float, now: float) -> None:
        """Record an evaluation that took `seconds` and ended at the training time `now`."""
        self.seconds, self._is_measured, self._last = seconds, True, now

    def missing_seconds(self, now: float) -> float:
        """Return by how many seconds an evaluation now exceeds its fraction of the time; 0 or less if it does not."""
        return self.seconds - self._tuning.evaluation_fraction * (now - self._last)


def affordable_characters(minutes: float, speed: float, tuning: TrainingTuning = DEFAULT_TUNING) -> int:
    """Return how many held-out characters one evaluation may read.

    Parameters
    ----------
    minutes : float
        Budget of the run.
    speed : float
        Characters per second of training.
    """
    seconds = tuning.evaluation_fraction * 60 * minutes
    return max(tuning.min_held_out_characters, int(seconds * tuning.evaluation_speedup * speed))
