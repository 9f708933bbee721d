"""Models of an earlier version load, and every command prints the frozen output for them."""

from __future__ import annotations

import json
import re

import pytest

from tests.golden.commands import COMMANDS, EXPECTED, output_of

NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def without_numbers(line: str) -> str:
    """Return a line with every decimal number replaced by #."""
    return NUMBER.sub("#", line)


def numbers(line: str) -> list[float]:
    """Return the decimal numbers of a line."""
    return [float(number) for number in NUMBER.findall(line)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_output_equals_the_frozen_output(command: tuple[str, ...]) -> None:
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))[" ".join(command)]
    output = output_of(command)
    assert [without_numbers(line) for line in output] == [without_numbers(line) for line in expected]
    for line, expected_line in zip(output, expected, strict=True):
        assert numbers(line) == pytest.approx(numbers(expected_line), rel=2e-4, abs=1e-5)
