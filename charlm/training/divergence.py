"""When training explodes: back to the last good state, at half the learning rate; a few times, then no more."""

from __future__ import annotations

import math
from contextlib import suppress
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np

from charlm.arrays import Array
from charlm.config import TrainConfig
from charlm.errors import DivergedError
from charlm.nn.base import BaseNetwork
from charlm.nn.layout import Parameters

REMEMBER_STEPS = 100
"""Steps between the states that can be gone back to."""
MOST_RETURNS = 5
"""Returns without getting past the place where it exploded."""
FOLLOW = 0.05
"""How quickly the running level of the loss follows."""
IN_MEMORY = 16 << 20
"""Bytes of a state that are kept in memory; a larger one goes to a temporary file."""
NOISE = 3.0
"""How far the loss of a window of one character may be above that, in losses of a uniform model; with n, / sqrt(n)."""


class Recoverable(Protocol):
    """What the guard reads of a trainer, and sets when it rolls back."""

    network: BaseNetwork
    config: TrainConfig
    params: Parameters
    step: int
    best_loss: float
    model_step: int

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the arrays and the facts of the current state."""

    def restore(self, arrays: dict[str, Array], facts: dict[str, Any]) -> None:
        """Return to a state that `snapshot` returned."""


class DivergenceGuard:
    """Watches a trainer, remembers good states, and goes back to the last one.

    rate_factor: what the learning rate is multiplied by, 1 at first and halved at each return.
    level: of the loss, a running mean; nats per character.
    """

    def __init__(self, trainer: Recoverable) -> None:
        self.trainer = trainer
        self.uniform = math.log(trainer.network.vocabulary)
        self.rate_factor = 1.0
        self.level = self.uniform
        self.returns = 0
        self.furthest = -1  # step at which it exploded last
        self._kept: IO[bytes] = BytesIO()  # the arrays of the last good state
        self._facts: dict[str, Any] = {}

    def close(self) -> None:
        """Forget the last good state, and remove it from the disk."""
        self._kept.close()

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        names = ("rate_factor", "level", "returns", "furthest")
        return {name: getattr(self, name) for name in names}

    def from_json(self, kept: dict[str, Any]) -> None:
        """Go on as `to_json` was taken."""
        self.rate_factor, self.level = float(kept["rate_factor"]), float(kept["level"])
        self.returns, self.furthest = int(kept["returns"]), int(kept["furthest"])

    def remember(self) -> None:
        """Keep the state of the trainer, now and then.

        Raises DivergedError if there is something in the weights that is not finite.
        """
        trainer = self.trainer
        if self._facts and trainer.step % REMEMBER_STEPS:
            return
        self.check_weights()
        arrays, facts = trainer.snapshot()
        try:
            if not self._facts and sum(array.nbytes for array in arrays.values()) > IN_MEMORY:
                self._kept = TemporaryFile(prefix="charlm-")  # noqa: SIM115
            write_arrays(self._kept, arrays)
        except OSError:  # the disk is full: in memory, then
            with suppress(OSError):  # what is still in its buffer
                self._kept.close()
            self._kept = BytesIO()
            write_arrays(self._kept, arrays)
        self._facts = facts

    def check_weights(self) -> None:
        """Raise DivergedError if a weight is not finite, or beyond all bounds."""
        with np.errstate(all="ignore"):
            square = float(np.dot(self.trainer.params.flat, self.trainer.params.flat))
        if not math.isfinite(square):
            raise DivergedError("the weights are not finite")

    def check_loss(self, loss: float, characters: float) -> None:
        """Take in the mean loss of a window, of so many characters.

        Raises DivergedError if it is not finite, or far above its running level: by more than a model loses that
        knows nothing, and gives every character the same probability.
        """
        most = min(self.level, self.uniform) + self.uniform * (1 + NOISE / math.sqrt(max(characters, 1)))
        if not loss <= most:
            raise DivergedError(f"the loss is {loss:.4g} nats, far above its level of {self.level:.4g}")
        self.level += FOLLOW * (loss - self.level)
        if self.trainer.step > self.furthest + REMEMBER_STEPS:
            self.returns = 0

    def roll_back(self, reason: str) -> str:
        """Go back to the last good state, and halve the learning rate; returns a line that says so.

        The time that was used stays used. Raises DivergedError if there is no good state, or, in the good state,
        after MOST_RETURNS in vain.
        """
        if not self._facts:
            raise DivergedError(reason)
        trainer = self.trainer
        step, seconds, best = trainer.step, trainer.seconds, (trainer.best_loss, trainer.model_step)
        self.furthest = max(self.furthest, step)
        mine = self.to_json()
        trainer.restore(read_arrays(self._kept, like=trainer.snapshot()[0]), self._facts | {"seconds": seconds})
        self.from_json(mine | {"level": self.level})
        trainer.best_loss, trainer.model_step = best
        rate = trainer.config.learning_rate * self.rate_factor
        if self.returns >= MOST_RETURNS:
            raise DivergedError(
                f"training diverged at step {step:,}: {reason}; {self.returns} returns to step {trainer.step:,}, "
                f"each at half the learning rate, did not help; begin anew with --lr below {rate:.2g}, or with --clip 1"
            )
        self.returns += 1
        self.rate_factor /= 2
        return (
            f"diverged at step {step:,}: {reason}; back to step {trainer.step:,}, "
            f"the peak learning rate halved to {rate / 2:.4g}"
        )


def write_arrays(file: IO[bytes], arrays: dict[str, Array]) -> None:
    """Write arrays from the start of a file, one behind the other."""
    file.seek(0)
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).data)
    file.flush()  # where it cannot be written, that is said here


def read_arrays(file: IO[bytes], like: dict[str, Array]) -> dict[str, Array]:
    """Return what `write_arrays` wrote, by the names and shapes of other arrays."""
    file.seek(0)
    return {
        name: np.frombuffer(file.read(array.nbytes), array.dtype).reshape(array.shape) for name, array in like.items()
    }
