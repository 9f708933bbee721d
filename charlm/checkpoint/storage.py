"""Atomic replacement of files, and safe opening of untrusted files."""

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
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for a writer
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "there is no such file or folder",
    MemoryError: "it does not fit into memory",
    RecursionError: "its JSON is nested too deeply",
}
"""Reasons of errors whose own message does not help."""


def printable(value: object, max_length: int = 300) -> str:
    r"""Return `value` as text that is safe on a terminal: at most `max_length` characters, invisible ones escaped.

    >>> printable("red\x1b[31m")
    'red\\x1b[31m'
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    text = text if len(text) <= max_length else text[: max_length - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason_of(error: BaseException) -> str:
    """Return the reason of an error, without the path and the number that the operating system adds.

    The backticks of a setting's name are removed, because a setting in a file is not a parameter of the caller.
    """
    if isinstance(error, ConfigError):
        return printable(str(error).replace("`", ""))
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            return reason
    return printable(getattr(error, "strerror", None) or error)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading without waiting.

    Raises
    ------
    OSError
        It cannot be opened.
    ValueError
        It is a folder, a device or a pipe, or `path` is not a valid path.
    """
    descriptor = os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor).st_mode)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def atomic_write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Replace the content of a file, so that at any time either the old or the new content is complete.

    Parameters
    ----------
    path : path
        The file. Symbolic links are followed and kept. An existing file keeps its mode.
    chunks : iterable of bytes
        The new content.

    Raises
    ------
    CheckpointError
        Writing failed. The temporary file was deleted, and the old file is unchanged.

    Notes
    -----
    A temporary file in the same folder is written, synced to the disk and renamed; then the folder is synced.

    References
    ----------
    Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI), section 4.
    """
    try:
        _replace(os.path.realpath(path), chunks)
    except (OSError, ValueError) as error:
        left = "the old file is unchanged" if os.path.exists(path) else "nothing was written"
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}; {left}") from error


def check_writable(path: Path) -> None:
    """Raise CheckpointError if `atomic_write` would fail for a reason that is known before.

    A temporary file is created and deleted, as its name is the longest and its folder may be read-only. The file at
    `path` is unchanged.
    """
    try:
        target = os.path.realpath(path)
        _mode_of(target)
        _refuse_sticky(target)
        temporary, descriptor = _create_temporary(target, 0o600)
        os.close(descriptor)
        os.unlink(temporary)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot write {printable(path)}: {reason_of(error)}") from error


def discard_leftovers(path: Path) -> None:
    """Delete the temporary files of `atomic_write(path, ...)` in killed processes.

    Only the process that may write `path` calls this: the temporary file of a running write would be deleted too.
    """
    with suppress(OSError, ValueError):
        folder, name = os.path.split(os.path.realpath(path))
        leftover = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
        for found in os.listdir(folder):
            if leftover.fullmatch(found):
                os.unlink(os.path.join(folder, found))


def _replace(target: str, chunks: Iterable[bytes | memoryview]) -> None:
    """Replace the file at `target`, an absolute path without symbolic links."""
    mode = _mode_of(target)
    temporary, descriptor = _create_temporary(target, 0o666 if mode is None else mode)  # minus the umask
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


def _create_temporary(target: str, mode: int) -> tuple[str, int]:
    """Create a file in the folder of `target` that `discard_leftovers` matches; return its path and descriptor."""
    folder, name = os.path.split(target)
    path = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)


def _refuse_sticky(target: str) -> None:
    """Raise PermissionError if the file of another user must not be replaced, as in /tmp."""
    with suppress(FileNotFoundError, AttributeError):  # no such file yet, or a platform without user ids
        folder, owner, user = os.stat(os.path.dirname(target)), os.stat(target).st_uid, os.geteuid()
        if folder.st_mode & stat.S_ISVTX and user not in (0, owner, folder.st_uid):
            raise PermissionError(errno.EPERM, "it belongs to another user, and its folder is sticky")


def _mode_of(target: str) -> int | None:
    """Return the permission bits of a file, None if there is none; ValueError or OSError if it is protected."""
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return None
    _check_regular(mode)
    os.close(os.open(target, os.O_WRONLY | _BINARY))  # renaming would replace a read-only file
    return stat.S_IMODE(mode) & 0o777


def _check_regular(mode: int) -> None:
    """Raise ValueError unless `mode` (st_mode of a stat) is that of a regular file."""
    if not stat.S_ISREG(mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")


def _sync_folder(folder: str) -> None:
    """Make a rename in `folder` durable, where the platform and the file system support it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | _DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
