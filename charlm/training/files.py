"""The files of a run, named after its model.

    NAME.safetensors          the model with the lowest held-out loss so far
    NAME.resume.safetensors   everything needed to go on exactly where the run stopped
    NAME.log.jsonl            a row for every second or so of training, see `LOG_KEYS` in `session.py`
    NAME.lock                 held while the run lasts
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from charlm.errors import BusyError, CheckpointError, ConfigError, ModelExistsError


class Files:
    """Paths.

    Raises CheckpointError if `model` is a folder.
    """

    def __init__(self, model: Path) -> None:
        if model.is_dir():
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
        if not self.model.parent.is_dir():
            raise CheckpointError(f"{self.model.parent}: no such folder; make it, or name another model with -m")
        written = {os.path.realpath(file) for file in (self.model, self.state, self.log, self.lock)}
        for path in paths:
            if os.path.realpath(path) in written:
                raise ConfigError(f"{path}: a text that this run would write over; name another model with -m")
        if not (overwrite or resume) and self.model.exists():
            further = ", --resume trains it further" if self.state.exists() else ""
            raise ModelExistsError(
                f"{self.model}: exists already; --overwrite replaces it{further}, -m NAME writes another"
            )


def lock(path: Path) -> FileLock:
    """Take the lock of a run.

    Raises BusyError if another run holds it.
    """
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"{path}: another run is writing this model; wait for it, or use another -m NAME") from None
    return held
