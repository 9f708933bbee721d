"""JSON from strangers: bounded, without duplicate keys, NaN, or numbers that take for ever to read."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_LENGTH = 64 * 2**20  # a vocabulary of a million tokens takes about 20 MB
MAX_VALUES = 2**21  # a vocabulary of a million tokens fits twice; keeps a hostile text below about 0.5 GB
MAX_DIGITS = 100  # the state of a random generator is a number of 39 digits


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises ValueError with the reason: too large, not JSON, a key twice in one object, a number that is not
    finite. Raises RecursionError if it is nested deeper than the interpreter's stack.
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
    """Return the JSON text of `value`, one that `parse_json` takes and that is valid UTF-8.

    Raises ValueError or TypeError if there is none.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)  # lone surrogates
    check_size(text)
    return text


def check_size(text: str) -> None:
    """Raise ValueError if reading the JSON `text` would take more memory than any model file needs."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"its JSON has {len(text)} characters, {MAX_LENGTH} are allowed")
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise ValueError(f"its JSON holds more than {MAX_VALUES} values")


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object; raises ValueError, calling it `name`, if not."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice in one JSON object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits in its JSON")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} in its JSON is not finite")
    return number
