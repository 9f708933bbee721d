"""Constraints on the text: masks of the ids after which a text can still match.

An automaton reads the text. An id is allowed if an accepting state can be reached within the length left, and EOS is
allowed in accepting states. So each text matches, and none has to be drawn twice.

    q(text) = product over t of p(x_t | x_<t) / Z_t        Z_t = the sum of p(x | x_<t) over the allowed x

Stepwise masking does not draw from the conditional distribution p(text | match): it draws too many texts whose Z_t is
small. The importance weight p(text) / q(text) is the product of the Z_t. It is at most 1, so that accepting a text with
this probability (rejection sampling) draws exactly from p(text | match).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids, Mask
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.sampling.automaton import NEVER, Automaton, build_automaton
from charlm.sampling.expression import Expression
from charlm.sampling.tuning import DEFAULT_TUNING, SamplingTuning
from charlm.text.vocabulary import LineVocabulary, Vocabulary

Float64s = npt.NDArray[np.float64]


class Constraint:
    """The masks of an automaton.

    Parameters
    ----------
    automaton : accepts the texts that match.
    state : its state at the start of the text.
    eos : the id that ends a text.
    """

    def __init__(self, automaton: Automaton, state: int, eos: int) -> None:
        self.state, self.transitions = state, automaton.transitions
        self._needed: Ids = automaton.min_length[automaton.transitions]  # characters to the end after each id, (S, V)
        self._min_needed: Ids = self._needed.min(axis=1)
        self._needed[:, eos] = np.where(automaton.is_accepting, 0, NEVER)
        self._bound = int(self._needed.max(where=self._needed < NEVER, initial=0))
        self._penalties = penalties(self._needed < NEVER)

    def penalties(self, states: Ids | int, left: int) -> Array:
        """Return 0 for each allowed id and -inf for the others, (V,) or (B, V), with `left` characters left, >= 1."""
        if left > self._bound:
            rows: Array = self._penalties[states]
            return rows
        return penalties(self._needed[states] < left)

    def is_complete(self, states: Ids | int, left: int) -> Mask:
        """Return whether no character is allowed, which is so in accepting states alone."""
        complete: Mask = self._min_needed[states] >= left
        return complete


class Matching:
    """The states of a constraint in the streams of a batch, and whether each stream is still accepted.

    Parameters
    ----------
    constraint : the constraint of all streams.
    size : number of streams.
    can_end : whether EOS may be drawn.
    uniforms : rows (B,) of random numbers that decide which texts are accepted; None to accept all.

    Attributes
    ----------
    log_kept : (B,) the logarithms of the importance weights.
    is_rejected : (B,)
    """

    def __init__(
        self, constraint: Constraint, size: int, can_end: bool, uniforms: Iterator[Float64s] | None = None
    ) -> None:
        self._constraint, self._can_end, self._uniforms = constraint, can_end, uniforms
        self._states: Ids = np.full(size, constraint.state)
        self.log_kept, self.is_rejected = np.zeros(size), np.zeros(size, bool)

    def penalties(self, active: Ids, left: int) -> Array:
        """Return what is added to the logits of the active streams, (B, V)."""
        return self._constraint.penalties(self._states[active], left)

    def weigh(self, active: Ids, log_kept: Float64s) -> None:
        """Read what the mask kept of the active streams, and accept each with that probability."""
        self.log_kept[active] += log_kept
        if self._uniforms is not None:
            self.is_rejected[active] = next(self._uniforms)[active] >= np.exp(log_kept)

    def read(self, active: Ids, ids: Ids, left: int) -> Mask:
        """Read the ids of the active streams; return which of them continue, with `left` characters left."""
        states = self._constraint.transitions[self._states[active], ids]
        self._states[active] = states
        continues: Mask = ~self.is_rejected[active]
        return continues if self._can_end else continues & ~self._constraint.is_complete(states, left)


def penalties(allowed: Mask) -> Array:
    """Return 0 where an id is allowed and -inf elsewhere."""
    return np.where(allowed, np.float32(0), np.float32(-np.inf))


def make_constraint(
    config: SampleConfig, vocabulary: Vocabulary, prompt: str, tuning: SamplingTuning = DEFAULT_TUNING
) -> Constraint | None:
    """Return the constraint on the text after a prompt, None if there is none.

    In a model of lines the last line of the prompt is a part of the text.

    Raises
    ------
    ConfigError
        If an expression is not valid, or if no text can match.
    """
    patterns = list(patterns_of(config))
    if not patterns:
        return None
    if vocabulary.unit != "char":
        raise ConfigError("this model draws words; a text can be matched character by character only")
    check_characters(config, vocabulary)
    never = {vocabulary.eos, *vocabulary.never_drawn}
    tokens = ["" if i in never or token in config.without else token for i, token in enumerate(vocabulary.tokens)]
    expressions = [
        Expression(pattern, tokens, flags=flags, max_states=tuning.max_expression_states) for pattern, flags in patterns
    ]
    automaton = build_automaton(expressions, max_transitions=tuning.max_transitions)
    begun = prompt.rpartition("\n")[2] if isinstance(vocabulary, LineVocabulary) else ""
    state = automaton.read(vocabulary.encode(begun).tolist())
    shortest = int(automaton.min_length[state])
    if shortest == NEVER:
        raise ConfigError(f"no text of the model's characters{' that begins as the prompt' * bool(begun)} can match")
    if shortest > config.max_length:
        raise ConfigError(f"the shortest text that matches has {shortest:,} characters; `length` is {config.length:,}")
    return Constraint(automaton, state, vocabulary.eos)


def check_characters(config: SampleConfig, vocabulary: Vocabulary) -> None:
    """Raise ConfigError if a text that must occur has a character that the model cannot draw."""
    for name in ("starts_with", "contains", "ends_with"):
        for character in getattr(config, name) or "":
            if character not in vocabulary:
                raise ConfigError(f"`{name}` has {character!r}, which is not in the model's vocabulary")
            if character in config.without:
                raise ConfigError(f"`{name}` has {character!r}, which `without` forbids")


def patterns_of(config: SampleConfig) -> Iterator[tuple[str, int]]:
    """Yield the expressions that a text must match, with their flags."""
    if config.match is not None:
        yield config.match, 0
    if config.starts_with is not None:
        yield f"{re.escape(config.starts_with)}.*", re.DOTALL
    if config.contains is not None:
        yield f".*{re.escape(config.contains)}.*", re.DOTALL
    if config.ends_with is not None:
        yield f".*{re.escape(config.ends_with)}", re.DOTALL
    if config.without:
        yield ".*", re.DOTALL
