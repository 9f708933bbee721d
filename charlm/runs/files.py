"""The files of a run, named after its model.

NAME.safetensors   the model with the lowest held-out loss so far
NAME.resume        the state of the run, from which it resumes; deleted when the run has finished
NAME.log.jsonl     a row for every second or so of training, see `LOG_KEYS` in `log.py`
NAME.lock          locked as long as the run lasts

Earlier versions called the state NAME.resume.safetensors. It is still read, and replaced by NAME.resume.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.checkpoint import check_writable, discard_leftovers, is_state, read_model
from charlm.errors import BusyError, CheckpointError, ConfigError, ModelExistsError, ResumeError

PathLike = str | os.PathLike[str]


class Files:
    """The paths of a run's files.

    Parameters
    ----------
    model : path
        The model file; the suffix .safetensors is optional.
    """

    def __init__(self, model: PathLike) -> None:
        self.model = Path(model)
        folder, stem = self.model.parent, self.model.name.removesuffix(".safetensors")
        self.state = folder / f"{stem}.resume"
        self.old_state = folder / f"{stem}.resume.safetensors"
        self.log = folder / f"{stem}.log.jsonl"
        self.lock = folder / f"{stem}.lock"

    def check(self, paths: Sequence[PathLike], *, overwrite: bool, resume: bool) -> None:
        """Check that a run can write its files without destroying others.

        Parameters
        ----------
        paths : sequence of path
            The training texts.
        overwrite : bool
            Whether an existing model may be replaced.
        resume : bool
            Whether the run continues a stopped one.

        Raises
        ------
        CheckpointError
            If a file cannot be written.
        ConfigError
            If a file is a text, or belongs to another model.
        ModelExistsError
            If the model exists and is neither to be replaced nor to be trained further.
        """
        for file in (self.model, self.state):
            try:
                check_writable(file)
            except CheckpointError as error:
                raise CheckpointError(f"{error}; name another `model`") from error
        if other := self._model_with_same_files():
            raise ConfigError(
                f"{self.model}: {other} is a model with the same state and log files "
                f"({self.state.name}, {self.log.name}); name another `model`"
            )
        written = {os.path.realpath(file) for file in (self.model, self.state, self.log, self.lock)}
        for path in paths:
            if os.path.realpath(path) in written:
                raise ConfigError(f"{path}: a text that this run would write over; name another `model`")
        states = self._states()
        existing = [self.model, *states] if self.model.exists() else states
        if existing and not (overwrite or resume):
            hint = "`resume=True` continues its run, " if states else ""
            raise ModelExistsError(
                f"{existing[0]}: exists already; {hint}`overwrite=True` replaces it, another `model` keeps it"
            )

    def has_state(self) -> bool:
        """Return whether there is a state to resume from."""
        return bool(self._states())

    def state_to_resume(self) -> Path:
        """Return the path of the state that the run resumes from.

        Raises
        ------
        ResumeError
            If there is none.
        """
        for state in self._states():
            return state
        hint = "start a new run"
        if self.model.exists():
            hint = (
                "a finished run can be resumed if `keep_state=True` kept its state; `init_from` starts from its model"
            )
        raise ResumeError(f"{self.state}: no such file; there is no run to resume; {hint}")

    def delete_state(self) -> None:
        """Delete the state of a run that has finished or is overwritten, so that it cannot be resumed by mistake."""
        with suppress(OSError):
            self.state.unlink(missing_ok=True)
        self.delete_old_state()

    def delete_old_state(self) -> None:
        """Delete the state of an earlier version, which `state` replaces."""
        if self.old_state in self._states():
            with suppress(OSError):
                self.old_state.unlink()

    def _states(self) -> list[Path]:
        """Return the existing states, the one to resume from first. A model NAME.resume.safetensors is none."""
        states = [self.state] if self.state.exists() else []
        return [*states, self.old_state] if is_state(self.old_state) else states

    def _model_with_same_files(self) -> Path | None:
        """Return the other of the models NAME and NAME.safetensors, if it exists."""
        stem = self.model.name.removesuffix(".safetensors")
        other = self.model.parent / (f"{stem}.safetensors" if stem == self.model.name else stem)
        with suppress(CheckpointError):  # no file, or not a model, perhaps the text
            read_model(other)
            return other
        return None

    def discard_leftovers(self) -> None:
        """Delete half-written files of a killed run; the caller holds the lock."""
        for path in (self.model, self.state, self.old_state, self.log):
            discard_leftovers(path)


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run; the system releases it when the process ends.

    Raises
    ------
    BusyError
        If another run holds the lock.
    CheckpointError
        If the file cannot be created.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{path}: another run is writing this model; wait for it, or name another `model`") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}; name another `model`") from None
    try:
        yield
    finally:
        # Deleted while it is locked. A process that has opened the file by then gets no lock on it (filelock 3.21).
        with suppress(OSError):  # Windows does not delete an open file
            os.unlink(path)
        lock.release()
