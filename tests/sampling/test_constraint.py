"""Texts that match: their form, their distribution, their weights."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.sampling.drawing import TokenSampler
from charlm.sampling.sampler import Sample, Sampler
from charlm.sampling.tuning import SamplingTuning
from charlm.text.vocabulary import LineVocabulary, Vocabulary
from tests.sampling.clockwork import CLOCK, ClockworkNetwork, log_prob

LETTERS = Vocabulary.build(dict.fromkeys("abcdeAB 12é-.\n", 1))
NETWORK: Any = ClockworkNetwork.random(LETTERS)
SMALL = Vocabulary.build({"a": 1, "b": 1})
SMALL_NETWORK: Any = ClockworkNetwork.random(SMALL, seed=3, spread=1.0)
TWENTY = [
    "^[a-e]+$",
    "^abc",
    r"\Aa.*\Z",
    "a+b+",
    "(ab|cd)+e?",
    "[^aeé]{3,8}",
    r"\d{2,4}",
    r"\w+ \w+",
    r"[^\W\d_]+",
    r"[à-ü]{1,3}\d",
    "(?i)abba",
    "(?:a|b|c){4}",
    "a{0,2}b{1,3}c?",
    r"\S+\s\S+",
    ".*é.*",
    "(?s).{5}",
    r"-?\d+\.\d*",
    "(a(b(c)?)?)+",
    "A|B|AB.+",
    r"\W*[A-B][a-b]*?",
]


def sampler_of(network: Any = NETWORK, vocabulary: Vocabulary = LETTERS, **settings: Any) -> Sampler:
    return Sampler(network, vocabulary, SampleConfig(**{"temperature": 1, "length": 12, **settings}))


@pytest.mark.parametrize("can_end", [True, False])
@pytest.mark.parametrize("pattern", TWENTY)
def test_thousand_samples_match(pattern: str, can_end: bool) -> None:
    sampler, matches = sampler_of(match=pattern, can_end=can_end), re.compile(pattern).fullmatch
    samples = list(sampler.texts(n=1000, seed=1))
    assert all(matches(sample.text) and len(sample.text) <= 12 for sample in samples)
    assert not (not can_end and any(sample.has_ended for sample in samples))
    assert "".join(sampler.stream(seed=1)) == samples[0].text


def outcomes(match: str, length: int, temperature: float) -> dict[str, tuple[float, float]]:
    """Return p and q of every text of up to `length` characters of the small network, which may be cut there."""
    texts = ["".join(text) for size in range(1, length + 1) for text in product("ab", repeat=size)]
    good = [text for text in texts if re.fullmatch(match, text)]
    result = {}
    for text in good:
        has_ended = len(text) < length
        log_p, log_q, ids = 0.0, 0.0, [*SMALL.encode(text).tolist(), *[SMALL.eos] * has_ended]
        for step, token in enumerate(ids):
            last = ids[step - 1] if step else SMALL.eos
            weights = np.exp(SMALL_NETWORK.logits[step % CLOCK, :, last] / temperature)
            weights[SMALL.unk] = 0
            if step == 0:
                weights[SMALL.eos] = 0
            allowed = [SMALL.eos] if text[:step] in good else []
            allowed += [SMALL.tokens.index(c) for c in "ab" if any(other.startswith(text[:step] + c) for other in good)]
            log_p += math.log(weights[token] / weights.sum())
            log_q += math.log(weights[token] / weights[allowed].sum())
        result[text + "$" * has_ended] = (math.exp(log_p), math.exp(log_q))
    return result


def named(sample: Sample) -> str:
    return sample.text + "$" * sample.has_ended


def chi_square(counts: Counter[str], expected: dict[str, float]) -> float:
    """Return the statistic, normalised: standard normal if the counts follow the distribution."""
    assert set(counts) <= set(expected)
    draws, total = sum(counts.values()), sum(expected.values())
    terms = [(counts[text] - draws * p / total) ** 2 / (draws * p / total) for text, p in expected.items()]
    degrees = len(expected) - 1
    return (sum(terms) - degrees) / math.sqrt(2 * degrees)


@pytest.mark.parametrize("temperature", [1, 0.6])
@pytest.mark.parametrize("match", ["[ab]*b", "a?b{1,3}a*"])
def test_masked_texts_follow_the_stepwise_distribution_and_exact_texts_the_conditional_one(
    match: str, temperature: float
) -> None:
    both = outcomes(match, 4, temperature)
    masked, exact = ({text: pair[k] for text, pair in both.items()} for k in (1, 0))
    assert sum(masked.values()) == pytest.approx(1)
    for is_exact, expected, other in ((False, masked, exact), (True, exact, masked)):
        sampler = sampler_of(SMALL_NETWORK, SMALL, match=match, length=4, temperature=temperature, exact=is_exact)
        counts = Counter(map(named, sampler.texts(n=20_000, seed=5)))
        assert chi_square(counts, expected) < 3.5
        assert chi_square(counts, other) > 10  # the test can tell the two apart


def test_weight_of_a_text_is_its_probability_over_that_of_the_mask() -> None:
    both = outcomes("a?b{1,3}a*", 4, 1)
    for sample in sampler_of(SMALL_NETWORK, SMALL, match="a?b{1,3}a*", length=4).texts(n=200, seed=2):
        p, q = both[named(sample)]
        assert sample.log_kept == pytest.approx(math.log(p / q))
        ids = [*SMALL.encode(sample.text).tolist(), *[SMALL.eos] * sample.has_ended]
        assert sample.log_prob == pytest.approx(log_prob(SMALL_NETWORK, ids))
    assert sampler_of().texts(n=1, seed=0).__next__().log_kept == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"starts_with": "ab"}, "ab.*"),
        ({"contains": "a.b"}, r".*a\.b.*"),
        ({"ends_with": "é1"}, ".*é1"),
        ({"without": "ae\n"}, "[^ae\n]*"),
        ({"starts_with": "a", "ends_with": "a", "contains": "bb", "without": "c", "match": ".{1,9}"}, "a[^c]*bb[^c]*a"),
    ],
)
def test_short_forms(settings: dict[str, str], expected: str) -> None:
    for sample in sampler_of(**settings).texts(n=300, seed=3):
        assert re.fullmatch(expected, sample.text, re.DOTALL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"match": "xyz"}, "no text of the model's characters can match"),
        ({"match": "a", "without": "a"}, "no text of the model's characters can match"),
        ({"starts_with": "aX"}, "`starts_with` has 'X', which is not in the model's vocabulary"),
        ({"ends_with": "a", "without": "ab"}, "`ends_with` has 'a', which `without` forbids"),
        ({"match": "a{13}"}, "the shortest text that matches has 13 characters; `length` is 12"),
        ({"match": "("}, "not a regular expression"),
    ],
)
def test_what_cannot_match_is_refused_before_the_first_character(settings: dict[str, str], message: str) -> None:
    for call in (lambda sampler: sampler.texts(n=1), lambda sampler: sampler.stream()):
        with pytest.raises(ConfigError, match=re.escape(message)):
            call(sampler_of(**settings))


def test_line_includes_the_last_line_of_the_prompt() -> None:
    lines = LineVocabulary(LETTERS.tokens)
    for sample in sampler_of(vocabulary=lines, match="ab.*e").texts("ccc\nab", n=100, seed=1):
        assert re.fullmatch("ab.*e", "ab" + sample.text)
    with pytest.raises(ConfigError, match="that begins as the prompt"):
        sampler_of(vocabulary=lines, match="ab.*e").texts("ba", n=1)
    assert next(sampler_of(match="c+").texts("ba", n=1, seed=1)).text.strip("c") == ""


def test_empty_text_is_drawn_if_nothing_else_matches() -> None:
    for can_end in (True, False):
        sampler = sampler_of(match="(?:)", can_end=can_end)
        assert [sample.text for sample in sampler.texts(n=2, seed=0)] == ["", ""]
        assert "".join(sampler.stream(seed=0)) == ""


def test_filters_apply_to_what_the_mask_leaves() -> None:
    settings = {
        "match": "[a-c]+1",
        "temperature": 0.7,
        "top_k": 2,
        "min_p": 0.01,
        "no_loop": 2,
        "word_temperature": 1.4,
    }
    sampler = sampler_of(**settings)
    batch = list(sampler.texts(n=200, seed=4))
    assert all(re.fullmatch("[a-c]+1", sample.text) for sample in batch)
    assert "".join(sampler.stream(seed=4)) == batch[0].text
    greedy = sampler_of(match="[a-c]+1", temperature=0)
    assert len({sample.text for sample in greedy.texts(n=9)} | {"".join(greedy.stream())}) == 1


def test_exact_sampling_of_a_rare_match_is_stopped() -> None:
    network: Any = ClockworkNetwork.uniform(SMALL)
    network.logits[:, SMALL.tokens.index("b")] = -30
    sampler = Sampler(
        network, SMALL, SampleConfig(1, match="b+", exact=True), tuning=SamplingTuning(max_exact_draws=999)
    )
    with pytest.raises(ConfigError, match="none of 1,024 texts was accepted"):
        list(sampler.texts(n=1, seed=0))


def test_exact_streams_and_numbers_of_texts_agree() -> None:
    sampler = sampler_of(SMALL_NETWORK, SMALL, match="[ab]*b", exact=True)
    texts = [sample.text for sample in sampler.texts(n=300, seed=7)]
    assert len(texts) == 300
    assert [sample.text for sample in sampler.texts(n=5, seed=7)] == texts[:5]
    assert "".join(sampler.stream(seed=7)) == texts[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"match": "a", "stop": "b"},
        {"exact": True, "top_k": 3},
        {"exact": True, "temperature": 0},
        {"exact": True, "word_temperature": 1.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SampleConfig(**settings)


@pytest.mark.parametrize("temperature", [1, 0.6])
@pytest.mark.parametrize("spread", [1, 3000])
def test_masked_draw_equals_draw_and_weight(temperature: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    logits, uniforms = spread * rng.normal(size=(50, 9)), rng.random(50)
    penalties = np.where(rng.random((50, 9)) < 0.5, 0, -np.inf)
    penalties[:, 4] = 0
    sampler = TokenSampler(SampleConfig(temperature), (1,))
    ids, log_probs, log_kept = sampler.draw_masked(logits, uniforms, (), penalties)
    expected_ids, expected_log_probs = sampler.draw(logits, uniforms, (), penalties)
    assert ids.tolist() == expected_ids.tolist()
    np.testing.assert_allclose(log_probs, expected_log_probs)
    np.testing.assert_allclose(log_kept, sampler.log_kept(logits, penalties), atol=1e-9)


@pytest.mark.parametrize("scale", [1, 3000])
def test_weight_is_finite_where_the_allowed_characters_underflow(scale: float) -> None:
    logits = scale * np.array([[0.0, 9, 1, -1, -2]])
    sampler = TokenSampler(SampleConfig(0.5), (1,))
    kept = sampler.log_kept(logits, np.array([[-np.inf, -np.inf, -np.inf, 0, 0]]))
    expected = np.logaddexp(-2 * scale, -4 * scale) - np.logaddexp.reduce(2 * scale * np.array([0.0, 1, -1, -2]))
    assert kept == pytest.approx(expected)


def test_a_model_of_words_is_refused() -> None:
    words = Vocabulary.build({"apple": 1, " ": 1}, unit="word")
    with pytest.raises(ConfigError, match="draws words"):
        sampler_of(ClockworkNetwork.random(words), words, match="a").texts(n=1)
