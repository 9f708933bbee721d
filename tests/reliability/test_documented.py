"""docs/explanation/reliability.md names a test for each promise; each is there."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_every_test_that_is_named_is_there() -> None:
    page = (TOP / "docs/explanation/reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|fuzz)/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (TOP / file).read_text() if test else (TOP / file).exists(), f"{file}::{test}"
