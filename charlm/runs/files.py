"""The files of a run, named after its model.

    NAME.safetensors          the model with the lowest held-out loss so far
    NAME.resume.safetensors   everything needed to go on exactly where the run stopped
    NAME.log.jsonl            a row for every second or so of training, see `LOG_KEYS` in `log.py`
    NAME.lock                 held while the run lasts
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.checkpoint import check_writable, discard_leftovers, read_model
from charlm.errors import BusyError, CheckpointError, ConfigError, ModelExistsError


class Files:
    """Paths.

    Raises CheckpointError if `model` is a folder.
    """

    def __init__(self, model: Path) -> None:
        if os.path.isdir(model):  # unlike Path.is_dir, False for names that are too long
            raise CheckpointError(f"{model}: is a folder; name a file in it, such as {model / 'charlm.safetensors'}")
        stem = model.name.removesuffix(".safetensors")
        self.model = model
        self.state = model.with_name(f"{stem}.resume.safetensors")
        self.log = model.with_name(f"{stem}.log.jsonl")
        self.lock = model.with_name(f"{stem}.lock")

    def refuse_to_destroy(
        self, paths: Sequence[str | os.PathLike[str]], *, overwrite: bool, resume: bool
    ) -> None:
        """Raise CheckpointError, ConfigError or ModelExistsError rather than lose a text or a model."""
        if not os.path.isdir(self.model.parent):
            raise CheckpointError(f"{self.model.parent}: no such folder; make it, or name another model with -m")
        if not os.access(self.model.parent, os.W_OK):
            raise CheckpointError(f"{self.model.parent}: the folder is read-only; name a model elsewhere with -m")
        for file in (self.model, self.state):
            if os.path.exists(file) and not os.path.isfile(file):  # --overwrite would not help
                raise CheckpointError(f"{file}: is not a regular file; name another model with -m")
        if self.shared_with is not None:
            raise ConfigError(
                f"{self.model}: {self.shared_with} is a model with the same state and log files "
                f"({self.state.name}, {self.log.name}); name another model with -m"
            )
        written = {os.path.realpath(file) for file in (self.model, self.state, self.log, self.lock)}
        for path in paths:
            if os.path.realpath(path) in written:
                raise ConfigError(f"{path}: a text that this run would write over; name another model with -m")
        if not (overwrite or resume) and os.path.exists(self.model):
            further = ", --resume trains it further" if os.path.exists(self.state) else ""
            raise ModelExistsError(
                f"{self.model}: exists already; --overwrite replaces it{further}, -m NAME writes another"
            )
        if not (overwrite or resume) and os.path.exists(self.state):
            raise ModelExistsError(
                f"{self.state}: a run stopped here; --resume goes on with it, --overwrite starts over, "
                "-m NAME writes another"
            )
        for file in (self.model, self.state):
            try:
                check_writable(file)
            except CheckpointError as error:
                raise CheckpointError(f"{error}; name another model with -m") from error

    @property
    def shared_with(self) -> Path | None:
        """The model whose other files have the same names: NAME for NAME.safetensors, and the other way round."""
        stem = self.model.name.removesuffix(".safetensors")
        other = f"{stem}.safetensors" if stem == self.model.name else stem
        path = self.model.parent / other
        if other == "" or not os.path.isfile(path):  # False for a name that is too long, too
            return None
        try:
            read_model(path)
        except CheckpointError:  # another file, such as the text
            return None
        return path

    def discard_leftovers(self) -> None:
        """Remove what a killed run left half-written. Only for who holds the lock."""
        for path in (self.model, self.state, self.log):
            discard_leftovers(path)

    def forget_state(self) -> None:
        """Remove the state of a run that is overwritten: nobody shall go on with it by mistake."""
        with suppress(OSError):
            self.state.unlink()


def lock(path: Path) -> FileLock:
    """Take the lock of a run; `release` it. The system releases it when its process ends, however that ends.

    Raises BusyError if another run holds it, CheckpointError if the file cannot be made.
    """
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{path}: another run is writing this model; wait for it, or use another -m NAME") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}; use another -m NAME") from None
    return held


def release(held: FileLock) -> None:
    """Remove the file of a lock and release it: a run that fails before it writes anything leaves nothing.

    The file is removed while the lock is held. Who has opened it by then gets no lock on it (filelock 3.21).
    """
    with suppress(OSError):  # Windows does not remove an open file
        os.unlink(held.lock_file)
    held.release()
