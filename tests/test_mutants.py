"""The program that tries deliberate faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import __main__ as mutants
from tests.mutants.fault import Fault


def fault(before: str = "a", after: str = "b", tests: tuple[str, ...] = ("test_it.py",)) -> Fault:
    """Return a fault of `it.py`."""
    return Fault("a fault", "it.py", before, after, tests)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a program and its test."""
    (tmp_path / "it.py").write_text("VALUE = 1\n")
    (tmp_path / "test_it.py").write_text("from it import VALUE\n\n\ndef test_value():\n    assert VALUE == 1\n")
    return tmp_path


def test_baseline_with_passing_tests_reports_nothing(folder: Path) -> None:
    assert mutants.baseline_failures([fault()], folder) == ""


def test_baseline_with_a_failing_test_names_the_test(folder: Path) -> None:
    (folder / "it.py").write_text("VALUE = 2\n")
    assert "test_it.py::test_value" in mutants.baseline_failures([fault()], folder)


def test_baseline_with_a_missing_test_names_the_test(folder: Path) -> None:
    assert "nowhere.py" in mutants.baseline_failures([fault(tests=("nowhere.py",))], folder)


def test_baseline_of_faults_with_different_selections_runs(folder: Path) -> None:
    faults = [fault(tests=("test_it.py", "-k", word)) for word in ("value", "test")]
    assert mutants.baseline_failures(faults, folder) == ""


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("VALUE = 1", "VALUE = 2", mutants.NOTICED),
        ("VALUE = 1", "VALUE = 1.0", mutants.SURVIVED),
        ("absent", "present", mutants.STALE),
    ],
)
def test_fault_is_tried_and_undone(folder: Path, before: str, after: str, outcome: str) -> None:
    assert mutants.try_fault(fault(before, after), folder, 60) == outcome
    assert (folder / "it.py").read_text() == "VALUE = 1\n"


def test_failing_baseline_ends_without_trying_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutants.sys, "argv", ["mutants", "--jobs", "1"])
    monkeypatch.setattr(mutants, "catalogue", lambda: {"list": (fault(),)})
    monkeypatch.setattr(mutants, "copy_repository", lambda folder: folder.mkdir())
    monkeypatch.setattr(mutants, "baseline_failures", lambda faults, folder: "FAILED test_it.py")
    monkeypatch.setattr(mutants, "try_fault", lambda *arguments: pytest.fail("a fault was tried"))
    assert mutants.main() == 1
    assert "fail on the unmodified code" in capsys.readouterr().out


def test_every_fault_of_the_catalogue_can_be_applied() -> None:
    """The text of a fault that moved or changed no longer occurs, and then nothing would be tried."""
    texts: dict[str, str] = {}
    stale = [
        (fault.what, file)
        for faults in mutants.catalogue().values()
        for fault in faults
        for file, before, _ in fault.replacements()
        if texts.setdefault(file, (mutants.ROOT / file).read_text(encoding="utf-8")).count(before) != 1
    ]
    assert stale == []
