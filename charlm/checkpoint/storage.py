"""Files that are either whole or not there: atomic replacement, and opening without surprises."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, TypeAlias

from charlm.errors import CheckpointError, ConfigError

Path: TypeAlias = "str | os.PathLike[str]"

_BINARY = getattr(os, "O_BINARY", 0)  # Windows only
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for somebody to write into it
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)


def printable(value: object, most: int = 300) -> str:
    r"""Return `value` as text that is safe on a terminal: cut to `most` characters, invisible ones escaped.

    >>> printable("red\x1b[31m")
    'red\\x1b[31m'
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    text = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason_of(error: BaseException) -> str:
    """Return why `error` happened, without the path and the number that the operating system adds.

    A setting that a file holds is no parameter of the caller, so its name loses its backticks.
    """
    if isinstance(error, ConfigError):
        return printable(str(error).replace("`", ""))
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    return printable((isinstance(error, OSError) and error.strerror) or error or type(error).__name__)


def open_regular(path: Path) -> BinaryIO:
    """Open the file at `path` for reading; never waits.

    Raises OSError if it cannot be opened, ValueError if it is a folder, a device, a pipe, or no path at all.
    """
    descriptor = os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor).st_mode)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def atomic_write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Replace the file at `path` by `chunks`: at any instant either the old or the new one is there, whole.

    A temporary file in the same folder is written, synced to the disk and renamed; then the folder is synced.
    Symbolic links are followed and stay. An existing file keeps its mode; a new one gets that of the umask.
    Raises CheckpointError if that fails; then the temporary file is gone and the old file is as it was.
    Source: Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI), section 4.
    """
    try:
        _replace(os.path.realpath(path), chunks)
    except (OSError, ValueError) as error:
        left = "the old file is unchanged" if os.path.exists(path) else "nothing was written"
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}; {left}") from error


def check_writable(path: Path) -> None:
    """Raise CheckpointError if `atomic_write` could not write to `path`, for whatever can be known before.

    A temporary file is created and removed, as its name is the longest and its folder may be read-only. What is at
    `path` stays as it is.
    """
    try:
        target = os.path.realpath(path)
        _mode_of(target)
        _refuse_sticky(target)
        temporary = _temporary_name(target)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600))
        os.unlink(temporary)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}") from error


def discard_leftovers(path: Path) -> None:
    """Remove the temporary files that `atomic_write(path, ...)` left behind when its process was killed.

    Only for the one process that is entitled to write `path`: the file of a write under way would go too.
    """
    with suppress(OSError, ValueError):
        folder, name = os.path.split(os.path.realpath(path))
        leftover = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
        for found in os.listdir(folder):
            if leftover.fullmatch(found):
                os.unlink(os.path.join(folder, found))


def _replace(target: str, chunks: Iterable[bytes | memoryview]) -> None:
    """Do the work of `atomic_write`. target: absolute, no symbolic link."""
    mode = _mode_of(target)
    temporary = _temporary_name(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
    descriptor = os.open(temporary, flags, 0o666 if mode is None else mode)  # less the umask
    try:
        with open(descriptor, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:  # also Ctrl-C
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(target))


def _temporary_name(target: str) -> str:
    """Return a new name in the folder of `target`, as `discard_leftovers` knows it."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")


def _refuse_sticky(target: str) -> None:
    """Raise PermissionError if a file of another user must not be replaced, as in /tmp."""
    with suppress(FileNotFoundError, AttributeError):  # no such file yet; no users
        folder, owner, user = os.stat(os.path.dirname(target)), os.stat(target).st_uid, os.geteuid()
        if folder.st_mode & stat.S_ISVTX and user not in (0, owner, folder.st_uid):
            raise PermissionError(errno.EPERM, "it belongs to another user, and its folder is sticky")


def _mode_of(target: str) -> int | None:
    """Return the permission bits of the file that is to be replaced, None if there is none.

    Raises ValueError or OSError if it must not be replaced.
    """
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return None
    _check_regular(mode)
    os.close(os.open(target, os.O_WRONLY | _BINARY))  # renaming would go over a read-only file
    return stat.S_IMODE(mode) & 0o777


def _check_regular(mode: int) -> None:
    """Raise ValueError unless `mode`, as in `os.stat_result.st_mode`, is that of a regular file."""
    if stat.S_ISDIR(mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a regular file")


def _sync_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power cut, where the platform and the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | _DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
