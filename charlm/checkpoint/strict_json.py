"""Untrusted JSON: bounded, without duplicate keys, NaN, or numbers that are slow to parse."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_LENGTH = 64 * 2**20
"""Maximum length in characters; a vocabulary of a million tokens takes about 20 MB."""
MAX_VALUES = 2**21
"""Maximum number of values, twice a million tokens; a hostile text takes at most about 0.5 GB of memory."""
MAX_DIGITS = 100
"""Maximum number of digits of an integer; the state of a random generator has 39."""


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        The text is too large or not JSON, a key occurs twice in an object, or a number is not finite.
    RecursionError
        It is nested deeper than the interpreter's stack.
    """
    check_size(text)
    return json.loads(
        text,
        object_pairs_hook=_without_duplicates,
        parse_int=_integer,
        parse_float=_finite,
        parse_constant=_finite,
    )


def dump_json(value: Any) -> str:
    """Return the JSON text of a value, which `parse_json` accepts and which is valid UTF-8.

    Raises
    ------
    ValueError, TypeError
        The value cannot be written as such a text.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)  # lone surrogates
    check_size(text)
    return text


def check_size(text: str) -> None:
    """Raise ValueError if a JSON text is larger than any model file needs."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"its JSON has {len(text)} characters; {MAX_LENGTH} are allowed")
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise ValueError(f"its JSON holds more than {MAX_VALUES} values")


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object; ValueError about `name` if not."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of pairs; ValueError if a key occurs twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in a JSON object")
    return found


def _integer(digits: str) -> int:
    """Return an integer of a bounded number of digits."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits in its JSON")
    return int(digits)


def _finite(text: str) -> float:
    """Return a finite number."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} in its JSON is not finite")
    return number
