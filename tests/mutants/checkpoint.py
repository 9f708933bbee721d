"""Faults of charlm/checkpoint: atomic writes, and untrusted files."""

from __future__ import annotations

from tests.mutants.fault import Fault

FAULTS: tuple[Fault, ...] = (
    Fault(
        "a file that changes during reading is accepted",
        "charlm/checkpoint/container.py",
        "if len(content) != self._size or not content.startswith(self._header):",
        "if False:",
        ("tests/checkpoint/test_limits.py::test_file_that_changes_during_reading_is_refused",),
    ),
    Fault(
        "tensors of any dtype are accepted",
        "charlm/checkpoint/container.py",
        'if entry["dtype"] not in list(dtypes):',
        "if False:",
        ("tests/checkpoint/test_wrong_headers.py",),
    ),
    Fault(
        "the data is read before the shapes are checked",
        "charlm/checkpoint/model_file.py",
        "check_shapes(container.shapes, file_layout(config, len(vocabulary), members))",
        "pass",
        ("tests/checkpoint/test_wrong_headers.py",),
    ),
    Fault(
        "the temporary file may be a link to another file",
        "charlm/checkpoint/storage.py",
        "os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)",
        "os.O_WRONLY | os.O_CREAT | _BINARY, mode)",
        ("tests/checkpoint/test_storage.py::test_temporary_file_that_exists_is_not_written_to",),
    ),
)
