"""Filters that depend on the text so far: loop control, and the temperature at the start of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.sampling.drawing import text_filters
from charlm.sampling.filters import FILTERS
from charlm.sampling.sampler import Sampler
from charlm.text.vocabulary import Vocabulary
from tests.sampling.clockwork import ClockworkNetwork

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))
NETWORK: Any = ClockworkNetwork.random(VOCABULARY)
NETWORK.logits[:, VOCABULARY.eos] -= 2
TEXT_FILTERS = [name for name, filter_ in FILTERS.items() if filter_.make]


def change(text: str, **settings: Any) -> dict[str, float]:
    """Return the change of each token's logit after a text, from logits of -1, -2, ..."""
    logits = -np.arange(1.0, len(VOCABULARY) + 1)
    before = logits.copy()
    for filter_ in text_filters(SampleConfig(**settings), VOCABULARY, [0, *VOCABULARY.encode(text)]).values():
        filter_.apply(logits)
    changes = dict(zip(VOCABULARY.tokens, (before - logits).tolist(), strict=True))
    return {token: value for token, value in changes.items() if value}


def naive_penalties(text: str, limit: int) -> dict[str, float]:
    """Return for each character by how much it makes the longest repetition longer than the limit."""
    result: dict[str, float] = {}
    for following in set(text):
        longer = [size for size in range(limit + 1, len(text) + 1) if (text + following)[-size:] in text]
        if longer:
            result[following] = max(longer) - limit
    return result


@given(st.text("ab", max_size=14), st.integers(1, 4))
def test_penalty_of_a_repetition_is_its_length_beyond_the_limit(text: str, limit: int) -> None:
    assert change(text, temperature=1, no_loop=limit) == naive_penalties(text, limit)


def test_worked_penalty() -> None:
    assert change("abcd abc", temperature=1, no_loop=3) == {"d": 1}
    assert change("abcd abcd", temperature=1, no_loop=3) == {" ": 2}
    assert change("abcd ab", temperature=1, no_loop=3) == {}


def test_no_loop_ends_the_loop_of_temperature_0() -> None:
    """A network that says "abcabc..." with 20 nats against anything else."""
    network: Any = ClockworkNetwork.uniform(VOCABULARY)
    a, b, c = VOCABULARY.encode("abc").tolist()
    for last, following in ((0, a), (a, b), (b, c), (c, a)):
        network.logits[:, following, last] = 20

    def text(**settings: Any) -> str:
        config = SampleConfig(temperature=0, length=60, can_end=False, **settings)
        [sample] = Sampler(network, VOCABULARY, config).texts(n=1, seed=0)
        assert "".join(Sampler(network, VOCABULARY, config).stream(seed=0)) == sample.text
        return sample.text

    assert text() == "abc" * 20
    assert text(no_loop=6)[:26] == ("abc" * 10)[:26]
    assert "abc" * 12 not in text(no_loop=6)


@pytest.mark.parametrize(("prompt", "is_start"), [("", True), ("ab ", True), ("ab\n", True), ("a", False)])
def test_word_temperature_applies_after_whitespace_and_at_the_start(prompt: str, is_start: bool) -> None:
    changed = change(prompt, temperature=0.5, word_temperature=1)
    logits = -np.arange(1.0, len(VOCABULARY) + 1)
    expected = logits - (logits - logits.max()) / 2  # logits are divided by 0.5 already, and must be by 1
    nonzero = {token: value for token, value in zip(VOCABULARY.tokens, expected.tolist(), strict=True) if value}
    assert changed == (pytest.approx(nonzero) if is_start else {})


@pytest.mark.parametrize("greedy", ["temperature", "word_temperature"])
def test_word_temperature_0_takes_the_most_probable_there_only(greedy: str) -> None:
    other = {"temperature": "word_temperature", "word_temperature": "temperature"}[greedy]
    config = SampleConfig(length=2, can_end=False, **{greedy: 0, other: 1})  # type: ignore[arg-type]
    sampler = Sampler(ClockworkNetwork.random(VOCABULARY, spread=0.5), VOCABULARY, config)  # type: ignore[arg-type]
    first = {prompt: {sample.text[0] for sample in sampler.texts(prompt, n=60, seed=0)} for prompt in ("a", "a ")}
    inside, start = len(first["a"]), len(first["a "])
    assert inside == 1 < start if greedy == "temperature" else start == 1 < inside


@pytest.mark.parametrize("prompt", ["", "ab a"])
def test_stream_and_batch_draw_the_same_with_all_filters(prompt: str) -> None:
    """Also when the columns of other texts leave the batch, and for any number of texts."""
    config = SampleConfig(0.7, 6, 0.95, length=80, min_p=0.02, word_temperature=1.3, no_loop=2)
    batch = [sample.text for sample in Sampler(NETWORK, VOCABULARY, config).texts(prompt, n=30, seed=5)]
    assert len(set(map(len, batch))) > 5
    few = [sample.text for sample in Sampler(NETWORK, VOCABULARY, config).texts(prompt, n=3, seed=5)]
    assert batch[:3] == few
    assert "".join(Sampler(NETWORK, VOCABULARY, config).stream(prompt, seed=5)) == batch[0]


@pytest.mark.parametrize("name", TEXT_FILTERS)
def test_neutral_value_of_a_text_filter_changes_nothing(name: str) -> None:
    make, config = FILTERS[name].make, SampleConfig(**{name: FILTERS[name].neutral})  # type: ignore[arg-type]
    assert make is not None
    filter_, logits = make(config, VOCABULARY), np.arange(9.0)
    for token in VOCABULARY.encode("ab ab ab ").tolist():
        filter_.read(token)
        filter_.apply(logits)
    assert logits.tolist() == list(range(9))


@pytest.mark.parametrize("settings", [{"min_p": 1.5}, {"min_p": -0.1}, {"word_temperature": -1}, {"no_loop": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"`{next(iter(settings))}` is"):
        SampleConfig(**settings)  # type: ignore[arg-type]
