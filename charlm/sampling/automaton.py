"""Regular expressions as a finite automaton over the tokens of a vocabulary.

The parser of Python's `re` reads an expression, so its syntax and its classes, such as \\w, are those of `re`. The
parsed expression becomes a nondeterministic automaton (Thompson 1968). The subset construction turns that of one or
several expressions into one deterministic automaton, which accepts the texts that all of them match. One token is one
character, so a token is one transition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids, Mask
from charlm.errors import ConfigError
from charlm.sampling.expression import END, START, Expression

NEVER = int(np.iinfo(np.int32).max)
"""The length of a text that does not exist."""
Sets = tuple[frozenset[int], ...]
"""A state of the deterministic automaton: a set of states of each nondeterministic one."""


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton with S states over V tokens. The last state accepts nothing and is never left.

    Attributes
    ----------
    transitions : (S, V) the state after each token.
    is_accepting : (S,) whether a text may end in a state. State 0 is the first one.
    min_length : (S,) the characters of the shortest text from a state to an accepting one; NEVER if there is none.
    """

    transitions: Ids
    is_accepting: Mask
    min_length: Ids

    def read(self, ids: Sequence[int], state: int = 0) -> int:
        """Return the state after some ids."""
        for token in ids:
            state = int(self.transitions[state, token])
        return state


def build_automaton(expressions: Sequence[Expression], *, max_transitions: int) -> Automaton:
    """Return the automaton of the texts that all expressions match.

    Parameters
    ----------
    expressions : at least one, over the same tokens.
    max_transitions : limit of S * V.

    Raises
    ------
    ConfigError
        If the limit is exceeded.
    """
    size = expressions[0].size
    first = tuple(one.closure([one.start], {START}) for one in expressions)
    numbers: dict[Sets, int] = {}
    states: list[Sets] = [first]  # without a number, so that the start of the text is reached once only
    rows: list[Ids] = []
    is_accepting: list[bool] = []
    while len(rows) < len(states):
        current = states[len(rows)]
        at = {END} if rows else {START, END}
        is_accepting.append(all(one.end in one.closure(own, at) for one, own in zip(expressions, current, strict=True)))
        row: Ids = np.full(size, NEVER, np.int32)
        for targets, tokens in successors(expressions, current):
            if targets not in numbers:
                numbers[targets] = len(states)
                states.append(targets)
            row[tokens] = numbers[targets]
        rows.append(row)
        if len(states) * size > max_transitions:
            raise ConfigError("the texts to match need too many states; use fewer or smaller repetitions")
    dead = len(states)
    table = np.array([*rows, np.full(size, NEVER, np.int32)])
    transitions: Ids = np.where(table == NEVER, dead, table).astype(np.int32)
    accepting = np.array([*is_accepting, False])
    return Automaton(transitions, accepting, shortest(transitions, accepting))


def successors(expressions: Sequence[Expression], current: Sets) -> list[tuple[Sets, Mask]]:
    """Return the states after a state, each with the mask of its tokens (V,)."""
    moves = [
        (k, target, mask)
        for k, (one, own) in enumerate(zip(expressions, current, strict=True))
        for mask, target in (one.moves[state] for state in sorted(own) if state in one.moves)
    ]
    if not moves:
        return []
    columns, column_of = np.unique(np.array([mask for *_, mask in moves]), axis=1, return_inverse=True)
    found: dict[Sets, Mask] = {}
    for number, column in enumerate(columns.T):
        targets: list[set[int]] = [set() for _ in expressions]
        for (k, target, _), is_taken in zip(moves, column.tolist(), strict=True):
            if is_taken:
                targets[k] |= expressions[k].after(target)
        if all(targets):
            key = tuple(map(frozenset, targets))
            found[key] = found.get(key, False) | (column_of.ravel() == number)
    return list(found.items())


def shortest(transitions: Ids, is_accepting: Mask) -> Ids:
    """Return the length of the shortest text from each state to an accepting one, by breadth-first search."""
    before: dict[int, set[int]] = {}
    for source, row in enumerate(transitions):
        for target in np.unique(row).tolist():
            before.setdefault(target, set()).add(source)
    lengths: npt.NDArray[np.int32] = np.full(len(transitions), NEVER, np.int32)
    lengths[is_accepting] = 0
    queue = deque(np.flatnonzero(is_accepting).tolist())
    while queue:
        target = queue.popleft()
        for source in before.get(target, ()):
            if lengths[source] == NEVER:
                lengths[source] = lengths[target] + 1
                queue.append(source)
    return lengths
