"""Checks of values that a caller gives, with messages that name the parameter and the allowed values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from charlm.errors import ConfigError

MAX_SHOWN = 100
"""Characters of a wrong value that a message shows."""


def check(is_valid: bool, field: str, value: Any, expected: str) -> None:
    """Raise ConfigError unless `is_valid`.

    Parameters
    ----------
    is_valid : whether `value` is allowed
    field : name of the setting as a Python caller writes it, such as "learning_rate"
    value : the value that was given
    expected : the allowed values in words, such as "more than 0"

    Raises
    ------
    ConfigError : "`field` is value; expected ..."
    """
    if not is_valid:
        is_infinite = isinstance(value, float) and not math.isfinite(value)
        shown = repr(value)
        shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}... ({type(value).__name__})"
        raise ConfigError(f"`{field}` is {shown}; expected {'a finite number, ' * is_infinite}{expected}", field, value)


def is_count(value: Any, minimum: int = 1) -> bool:
    """Return whether `value` is an integer of at least `minimum`; a bool is not an integer."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def is_real(value: Any) -> bool:
    """Return whether `value` is a finite real number; a bool is not a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Rule(NamedTuple):
    """A test of a value, and the allowed values in words.

    Attributes
    ----------
    is_valid : the test
    expected : the allowed values, such as "1 or more"
    kind : their type, such as "an integer"; it is reported for a value of another type
    types : the types; a bool is neither an integer nor a number
    """

    is_valid: Callable[[Any], bool]
    expected: str
    kind: str = ""
    types: tuple[type, ...] = ()


def number_rule(expected: str, is_valid: Callable[[float], bool]) -> Rule:
    """Return the rule of a finite number."""
    return Rule(lambda value: is_real(value) and is_valid(value), expected, "a number", (int, float))


def integer_rule(minimum: int, maximum: int | None = None) -> Rule:
    """Return the rule of an integer, at least `minimum` and at most `maximum`."""
    expected = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    return Rule(
        lambda value: is_count(value, minimum) and (maximum is None or value <= maximum),
        expected, "an integer", (int,),
    )  # fmt: skip


COUNT = integer_rule(1)
NATURAL = integer_rule(0)
POSITIVE = number_rule("more than 0", lambda value: value > 0)
NON_NEGATIVE = number_rule("0 or more", lambda value: value >= 0)
FRACTION = number_rule("in [0, 1)", lambda value: 0 <= value < 1)
TRUTH = Rule(lambda value: isinstance(value, bool), "true or false")
STRING = Rule(lambda value: isinstance(value, str), "a string")
TEXT = Rule(lambda value: isinstance(value, str) and value != "", "not empty", "a string", (str,))
PATH = Rule(lambda value: isinstance(value, (str, os.PathLike)), "a path")


def check_value(field: str, value: Any, rule: Rule) -> None:
    """Raise ConfigError unless `value` keeps `rule`; for a value of another type the message names the right one."""
    if rule.is_valid(value):
        return
    is_of_type = isinstance(value, rule.types) and (bool in rule.types or not isinstance(value, bool))
    kind = f"{rule.kind}, " if rule.kind and not is_of_type else ""
    check(False, field, value, kind + rule.expected)


def check_fields(config: Any, rule: Rule, *fields: str) -> None:
    """Raise ConfigError unless each field of `config` keeps `rule`, or is None where that is the default."""
    for field in fields:
        value, default = getattr(config, field), getattr(type(config), field)
        if value is not None or default is not None:
            check_value(field, value, rule)


def check_weights(name: str, weights: Sequence[float], models: int) -> None:
    """Raise ConfigError unless there is one weight for each model, 0 or more, and one of them is above 0."""
    if len(weights) != models:
        given = f"{len(weights)} {name}{'s' * (len(weights) != 1)}"
        raise ConfigError(f"{given} for {models} models; give one {name} for each model")
    for weight in weights:
        check(is_real(weight) and weight >= 0, name, weight, "0 or more")
    check(any(weights), name, 0, "more than 0 for one model at least")


def check_texts(texts: Any) -> None:
    """Raise ConfigError unless `texts` can be iterated over and is no string, whose items are characters."""
    is_valid = isinstance(texts, Iterable) and not isinstance(texts, (str, bytes))
    check(is_valid, "texts", texts, "several strings, such as a list; [text] is a list of one")


def check_choice(field: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    known = list(choices)
    similar = most_similar(value, known) if isinstance(value, str) and value not in known else None
    hint = f"; did you mean {similar}?" if similar else ""
    check(value in known, field, value, f"one of {', '.join(known)}{hint}")


def most_similar(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that a wrong one probably means, in upper or lower case; None if none is similar.

    A name is similar by its letters, or has the wrong name as its beginning ("temp") or its initials ("lr").
    """
    from difflib import get_close_matches  # loaded here because `--help` needs no suggestion

    wrong, names = name.lower(), {one.lower(): one for one in known}
    starts = [one for one in names if one.startswith(wrong) or wrong == "".join(word[:1] for word in one.split("_"))]
    return names[similar] if (similar := next(iter(starts or get_close_matches(wrong, names, 1)), None)) else None
