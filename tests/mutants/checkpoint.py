"""Faults of charlm/checkpoint: files that are whole, and files of strangers."""

from __future__ import annotations

from tests.mutants.fault import Fault

FAULTS: tuple[Fault, ...] = (
    Fault(
        "overlapping offsets are accepted",
        "charlm/checkpoint/container.py",
        "        if begin != place:",
        "        if begin > place:",
        ("tests/checkpoint/test_hostile_files.py::test_tensors_that_overlap_or_leave_a_gap_are_refused",),
    ),
    Fault(
        "the temporary file may be a link to another file",
        "charlm/checkpoint/storage.py",
        "flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY",
        "flags = os.O_WRONLY | os.O_CREAT | _BINARY",
        ("tests/checkpoint/test_storage.py::test_temporary_file_that_exists_is_not_written_to",),
    ),
    Fault(
        "the file that tries whether a folder is writable may be a link to another file",
        "charlm/checkpoint/storage.py",
        "os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)",
        "os.open(temporary, os.O_WRONLY | os.O_CREAT | _BINARY, 0o600)",
        ("tests/checkpoint/test_storage.py::test_temporary_file_that_exists_is_not_written_to",),
    ),
)
