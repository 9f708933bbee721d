"""Automata of regular expressions, compared with `re.fullmatch` on all short texts."""

from __future__ import annotations

import re
import warnings
from itertools import product

import pytest

from charlm.errors import ConfigError
from charlm.sampling.automaton import NEVER, Automaton, build_automaton
from charlm.sampling.expression import Expression

TOKENS = ["<EOS>", "<UNK>", *"abB1 é_\n-"]
TEXTS = ["".join(text) for length in range(5) for text in product(TOKENS[2:], repeat=length)]


def compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a nested set
        return re.compile(pattern)


def automaton_of(*patterns: str) -> Automaton:
    expressions = [Expression(pattern, TOKENS, max_states=1000) for pattern in patterns]
    return build_automaton(expressions, max_transitions=10**5)


def state_after(automaton: Automaton, text: str) -> int:
    return automaton.read([TOKENS.index(character) for character in text])


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a?",
        "a*b",
        "^ab$",
        r"\Aab\Z",
        r"\w+",
        r"\W\S*",
        r"\d{1,2}-?",
        "(?:ab|a1)*?b?",
        ".*a.*b",
        "(?i)aB+",
        "(?i:a)b",
        "(a|ab)(1|b1)",
        r"[^\W\d_]{3}",
        r"\s?[à-ü]+",
        "(?P<x>a|b)+",
        "^(?:a|^b)1$",
        "a$|b",
        "(?s:.)+",
        "[^a]*",
        "(a*)*b",
        "(?:)*a",
        "a^b|1",
        "(?:a|b){0,3}$",
        "(?x) a b # comment",
        r"(?a)\w+",
        "(?s).-",
        "[[a]+",
        "a^|b",
    ],
)
def test_automaton_accepts_what_re_matches(pattern: str) -> None:
    automaton, matches = automaton_of(pattern), compiled(pattern).fullmatch
    for text in TEXTS:
        assert automaton.is_accepting[state_after(automaton, text)] == (matches(text) is not None), text


def test_automaton_of_several_expressions_accepts_what_all_match() -> None:
    patterns = ("a.*", ".*b.*", ".{2,3}")
    automaton = automaton_of(*patterns)
    for text in TEXTS:
        expected = all(re.fullmatch(pattern, text) for pattern in patterns)
        assert automaton.is_accepting[state_after(automaton, text)] == expected


@pytest.mark.parametrize(
    ("pattern", "lengths"), [("ab|b", [1, 1, 0]), ("a{2,}b", [3, 2, NEVER]), ("[^\\s\\S]", [NEVER] * 3)]
)
def test_min_length_is_that_of_the_shortest_text(pattern: str, lengths: list[int]) -> None:
    """After "", "a" and "b"."""
    automaton = automaton_of(pattern)
    assert [int(automaton.min_length[state_after(automaton, text)]) for text in ("", "a", "b")] == lengths


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a)\\1", "groupref is not supported"),
        ("a(?=b)", "assert is not supported"),
        (r"\ba", "at_boundary is not supported"),
        ("(?m)^a", "at_beginning is not supported"),
        ("[", "not a regular expression: unterminated"),
        ("a{5000}", "too many states"),
        ("(" * 3000 + ")" * 3000, "not a regular expression"),
    ],
)
def test_other_expressions_are_refused_in_one_line(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        automaton_of(pattern)
    assert "\n" not in str(error.value)


def test_automaton_with_too_many_states_is_refused() -> None:
    with pytest.raises(ConfigError, match="too many states"):
        automaton_of(".*a.{14}")
