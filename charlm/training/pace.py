"""How many evaluations the training time allows, and how much text they read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning


@dataclass
class EvaluationPace:
    """Spaces evaluations by their cost, so that they take a fraction of the training time.

    Attributes
    ----------
    seconds : float
        Cost of an evaluation: the last measurement, or an estimate before the first.
    """

    tuning: TrainingTuning = DEFAULT_TUNING
    seconds: float = 0.0
    _is_measured: bool = False
    _last: float = 0.0  # training time at the end of the last evaluation

    def start(self, now: float) -> None:
        """Start the first interval at the training time `now` in seconds."""
        self._last = now

    def estimate(self, characters: int, speed: float, minutes: float | None) -> None:
        """Estimate the cost of an evaluation, unless it was measured.

        Parameters
        ----------
        characters : int
            Length of the held-out text.
        speed : float
            Characters per second of training.
        minutes : float or None
            Budget of the run, which limits the text that is evaluated; None for no limit.
        """
        if not self._is_measured:
            limit = math.inf if minutes is None else affordable_characters(minutes, speed, self.tuning)
            passes = self.tuning.evaluation_passes / (self.tuning.evaluation_speedup * speed)
            self.seconds = min(characters, limit) * passes

    def record(self, seconds: float, now: float) -> None:
        """Record an evaluation that took `seconds` and ended at the training time `now`."""
        self.seconds, self._is_measured, self._last = seconds, True, now

    def missing_seconds(self, now: float) -> float:
        """Return by how many seconds an evaluation now exceeds its fraction of the time; 0 or less if it does not."""
        return self.seconds - self.tuning.evaluation_fraction * (now - self._last)


def affordable_characters(minutes: float, speed: float, tuning: TrainingTuning = DEFAULT_TUNING) -> int:
    """Return how many held-out characters one evaluation may read.

    Parameters
    ----------
    minutes : float
        Budget of the run.
    speed : float
        Characters per second of training.
    """
    characters = evaluation_seconds(minutes, tuning) * tuning.evaluation_speedup * speed / tuning.evaluation_passes
    return max(tuning.min_held_out_characters, int(characters))


def evaluation_seconds(minutes: float, tuning: TrainingTuning = DEFAULT_TUNING) -> float:
    """Return the seconds that one evaluation may take of a budget of minutes."""
    return tuning.max_evaluation_fraction * 60 * minutes
