"""A regular expression as a nondeterministic automaton over the tokens of a vocabulary."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from charlm.arrays import Mask
from charlm.errors import ConfigError

IS_PACKAGE = sys.version_info >= (3, 11)
"""Whether the parser of `re` is a module of its package."""
compiler: Any = import_module("re._compiler" if IS_PACKAGE else "sre_compile")
codes: Any = import_module("re._constants" if IS_PACKAGE else "sre_constants")
parser: Any = import_module("re._parser" if IS_PACKAGE else "sre_parse")

START, END = "start", "end"
"""Conditions of transitions without a token: the start and the end of the text."""
ANCHORS = {
    codes.AT_BEGINNING: START,
    codes.AT_BEGINNING_STRING: START,
    codes.AT_END: END,
    codes.AT_END_STRING: END,
}
SUPPORTED = "characters, classes, groups, alternatives, repetitions, and ^ and $ around the text"


class Expression:
    """A nondeterministic automaton with a start and an end.

    Parameters
    ----------
    pattern : in the syntax of `re`.
    tokens : V tokens; one that may not occur is "".
    flags : of `re`.
    max_states : limit of the states.

    Raises
    ------
    ConfigError
        If the expression is not valid, or has a construct that no finite automaton has, or too many states.
    """

    def __init__(self, pattern: str, tokens: Sequence[str], *, flags: int = 0, max_states: int) -> None:
        self._pattern, self._tokens, self._max_states = pattern, tokens, max_states
        self._masks: dict[str, Mask] = {}
        self._after: dict[int, frozenset[int]] = {}
        self._jumps: list[list[tuple[int, str | None]]] = []  # of each state, without a token: target and condition
        self.moves: dict[int, tuple[Mask, int]] = {}
        self.size = len(tokens)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of syntax that may change its meaning in a later Python
                parsed = parser.parse(pattern, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"{pattern!r}: not a regular expression: {error}") from None
        self.start = self._state()
        self.end = self._sequence(parsed, self.start, parsed.state.flags)

    def closure(self, states: Iterable[int], at: Iterable[str] = ()) -> frozenset[int]:
        """Return the states that are reached without a token, where the conditions `at` hold."""
        found, stack = set(states), list(states)
        while stack:
            for target, condition in self._jumps[stack.pop()]:
                if target not in found and (condition is None or condition in at):
                    found.add(target)
                    stack.append(target)
        return frozenset(found)

    def after(self, state: int) -> frozenset[int]:
        """Return the closure of a state after a token, without states that change nothing."""
        if state not in self._after:
            closure = self.closure([state])
            self._after[state] = frozenset(
                one for one in closure if one in self.moves or one == self.end or any(c for _, c in self._jumps[one])
            )
        return self._after[state]

    def _state(self) -> int:
        if len(self._jumps) >= self._max_states:
            raise ConfigError(f"{self._pattern!r}: too many states; use fewer or smaller repetitions")
        self._jumps.append([])
        return len(self._jumps) - 1

    def _jump(self, source: int, target: int, condition: str | None = None) -> int:
        self._jumps[source].append((target, condition))
        return target

    def _sequence(self, items: Iterable[tuple[Any, Any]], start: int, flags: int) -> int:
        """Add a parsed sequence after a state; return the state after it."""
        for code, value in items:
            if code not in BUILDERS:
                raise ConfigError(
                    f"{self._pattern!r}: {str(code).lower()} is not supported; an expression may have {SUPPORTED}"
                )
            start = BUILDERS[code](self, start, code, value, flags)
        return start

    def _copy(self, items: Iterable[tuple[Any, Any]], start: int, flags: int) -> int:
        """Add a parsed sequence after a new state that follows `start`."""
        return self._sequence(items, self._jump(start, self._state()), flags)

    def _character(self, start: int, code: Any, value: Any, flags: int) -> int:
        key = repr((code, value, flags))
        if key not in self._masks:
            state = parser.State()
            state.flags, state.str = flags, ""
            matches = compiler.compile(parser.SubPattern(state, [(code, value)]), flags).fullmatch
            self._masks[key] = np.array([len(token) == 1 and matches(token) is not None for token in self._tokens])
        end = self._state()
        self.moves[start] = (self._masks[key], end)
        return end

    def _anchor(self, start: int, code: Any, value: Any, flags: int) -> int:
        if value not in ANCHORS or flags & re.MULTILINE:
            raise ConfigError(
                f"{self._pattern!r}: {str(value).lower()} is not supported; an expression may have {SUPPORTED}"
            )
        return self._jump(start, self._state(), ANCHORS[value])

    def _branch(self, start: int, code: Any, value: Any, flags: int) -> int:
        end = self._state()
        for items in value[1]:
            self._jump(self._copy(items, start, flags), end)
        return end

    def _group(self, start: int, code: Any, value: Any, flags: int) -> int:
        _, added, removed, items = value
        return self._sequence(items, start, (flags | added) & ~removed)

    def _repeat(self, start: int, code: Any, value: Any, flags: int) -> int:
        least, most, items = value
        for _ in range(least):
            start = self._copy(items, start, flags)
        end = self._state()
        if most == codes.MAXREPEAT:
            loop = self._jump(start, self._state())
            self._jump(self._copy(items, loop, flags), loop)
            return self._jump(loop, end)
        self._jump(start, end)
        for _ in range(most - least):
            start = self._copy(items, start, flags)
            self._jump(start, end)
        return end

    def _failure(self, start: int, code: Any, value: Any, flags: int) -> int:
        return self._state()


BUILDERS: dict[Any, Callable[[Expression, int, Any, Any, int], int]] = {
    codes.LITERAL: Expression._character,
    codes.NOT_LITERAL: Expression._character,
    codes.ANY: Expression._character,
    codes.IN: Expression._character,
    codes.AT: Expression._anchor,
    codes.BRANCH: Expression._branch,
    codes.SUBPATTERN: Expression._group,
    codes.MAX_REPEAT: Expression._repeat,
    codes.MIN_REPEAT: Expression._repeat,
    codes.FAILURE: Expression._failure,
}
"""The method that adds each construct of a parsed expression."""
