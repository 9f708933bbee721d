"""The fuzzers accept their own seeds; the fuzzing itself is `make fuzz`, which installs atheris."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "fuzz"


class Choices:
    """Choose by the bytes of an input, one byte per choice, as `atheris.FuzzedDataProvider` does."""

    def __init__(self, content: bytes) -> None:
        self.content = iter(content)

    def PickValueInList(self, values: Sequence[Any]) -> Any:  # noqa: N802
        return values[next(self.content, 0) % len(values)]

    def ConsumeBool(self) -> bool:  # noqa: N802
        return bool(next(self.content, 0) % 2)


@contextmanager
def instrument_imports(include: Sequence[str]) -> Iterator[None]:
    """Do nothing."""
    yield


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("fuzz_*.py")))
def test_fuzzer_accepts_its_seeds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atheris = ModuleType("atheris")
    vars(atheris).update(instrument_imports=instrument_imports, FuzzedDataProvider=Choices)
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    monkeypatch.setattr(sys, "path", list(sys.path))
    program = runpy.run_path(str(FOLDER / name))
    program["write_seeds"](tmp_path / "seeds")
    seeds = sorted((tmp_path / "seeds").iterdir())
    assert len(seeds) > 5
    for seed in seeds:
        program["test_one_input"](seed.read_bytes())
    program["FOLDER"].cleanup()
