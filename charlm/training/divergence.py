"""Recovery from divergence: return to the last good state at half the learning rate, a limited number of times."""

from __future__ import annotations

import math
from contextlib import suppress
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np

from charlm.errors import DivergedError
from charlm.training.tuning import DEFAULT_TUNING, TrainingTuning

State = dict[str, Any]


class DivergenceGuard:
    """Detects divergence, keeps snapshots of good states, and returns the last one.

    Parameters
    ----------
    vocabulary : int
        Number of tokens, V. A uniform model has the loss log V.
    tuning : TrainingTuning
    has_labels : bool
        Whether the targets are labels, of which a window may have few or none.

    Attributes
    ----------
    rate_factor : float
        Scale of the learning rate: 1 at first, halved at each rollback.
    level : float
        Running mean of the loss, in nats per character.
    rollbacks : int
        Rollbacks since training last got past the step at which it diverged.
    furthest : int
        Last step at which training diverged, -1 for none.
    """

    def __init__(self, vocabulary: int, tuning: TrainingTuning = DEFAULT_TUNING, *, has_labels: bool = False) -> None:
        self.tuning, self.has_labels = tuning, has_labels
        self.uniform_loss = math.log(vocabulary)
        self.rate_factor = 1.0
        self.level = self.uniform_loss
        self.rollbacks = 0
        self.furthest = -1
        self._step = -1  # of the last snapshot
        self._values: State = {}  # of it, without arrays; empty before the first
        self._names: list[str] = []  # of its arrays
        self._file: IO[bytes] = BytesIO()  # its arrays, one after another

    def close(self) -> None:
        """Delete the snapshot."""
        with suppress(OSError):  # closing writes the buffer, and the disk may be full
            self._file.close()

    def state_dict(self) -> dict[str, float]:
        """Return the state of the guard, without the snapshot."""
        counts = {"returns": self.rollbacks, "furthest": self.furthest}
        return {"rate_factor": self.rate_factor, "level": self.level, **counts}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Set the state that `state_dict` returned."""
        self.rate_factor, self.level = float(state["rate_factor"]), float(state["level"])
        self.rollbacks, self.furthest = int(state["returns"]), int(state["furthest"])

    def is_due(self, step: int) -> bool:
        """Return whether a snapshot is due after a number of steps: at first, and every `snapshot_steps` steps."""
        return not self._values or (step % self.tuning.snapshot_steps == 0 and step != self._step)

    def snapshot(self, step: int, state: State) -> None:
        """Store the state of training.

        Parameters
        ----------
        step : int
            Steps so far.
        state : dict
            Arrays, which are stored in a file if they are large, and other values, which must not change later.
        """
        arrays: State = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        self.close()  # frees the disk space of the last one
        self._file = SpooledTemporaryFile(self.tuning.max_snapshot_bytes)  # noqa: SIM115
        try:
            write_arrays(self._file, arrays)
            self._file.flush()  # reports a full disk here
        except OSError:  # keep the arrays in memory
            self.close()
            self._file = BytesIO()
            write_arrays(self._file, arrays)
        self._names = list(arrays)
        self._values, self._step = {name: value for name, value in state.items() if name not in arrays}, step

    def check_loss(self, loss: float, characters: float, step: int) -> None:
        """Update the level by the mean loss of a window.

        Parameters
        ----------
        loss : float
            Mean loss of the window, in nats per character.
        characters : float
            Number of targets that count in the window.
        step : int
            Steps so far.

        Raises
        ------
        DivergedError
            If the loss is not finite, or more than a uniform model's loss above its level, noise included. A few labels
            may all be surprising; of such windows the new level must not be so high.
        """
        if self.has_labels and characters == 0:
            return
        is_sparse = self.has_labels and characters < self.tuning.few_labels
        level = self.level + self.tuning.level_rate * (loss - self.level)
        noise = self.tuning.loss_noise / math.sqrt(1 if is_sparse else max(characters, 1))
        max_loss = min(self.level, self.uniform_loss) + self.uniform_loss * (1 + noise)
        if not (level if is_sparse else loss) <= max_loss:
            raise DivergedError(f"the loss is {loss:.4g} nats, far above its level of {self.level:.4g}")
        self.level = level
        if step > self.furthest + self.tuning.snapshot_steps:
            self.rollbacks = 0

    def roll_back(self, step: int, reason: str) -> State:
        """Return the last snapshot, with the current state of this guard in it.

        Parameters
        ----------
        step : int
            Step at which training diverged.
        reason : str
            What went wrong, for the error.

        Raises
        ------
        DivergedError
            If there is no snapshot.
        """
        if not self._values:
            raise DivergedError(reason)
        self.furthest = max(self.furthest, step)
        self.level = self._values["recovery"]["level"]
        self._file.seek(0)
        content = BytesIO(self._file.read())  # a spooled file of Python 3.10 has no `seekable`
        arrays = {name: np.load(content, allow_pickle=False) for name in self._names}
        return {**arrays, **self._values, "recovery": self.state_dict()}

    def halve_rate(self) -> bool:
        """Halve the learning rate for another attempt; return False after `max_rollbacks` attempts."""
        if self.rollbacks >= self.tuning.max_rollbacks:
            return False
        self.rollbacks += 1
        self.rate_factor /= 2
        return True


def write_arrays(file: IO[bytes], arrays: State) -> None:
    """Write arrays one after another; a ZIP file, as of `np.savez`, would fail again at its end on a full disk."""
    for array in arrays.values():
        np.save(file, array, allow_pickle=False)
