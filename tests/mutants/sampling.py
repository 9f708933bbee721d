"""Faults of what texts are drawn from."""

from __future__ import annotations

from tests.mutants.fault import Fault

FILTERS = "charlm/sampling/filters/__init__.py"
TEMPERATURE = (
    '    "temperature": Filter(1.0, temperature),\n    "word_temperature": Filter(None, make=WordTemperature),\n'
)
TOP_K = '    "top_k": Filter(0, top_k),\n'
TOP_P = '    "top_p": Filter(1.0, top_p),\n'
NO_LOOP = "charlm/sampling/filters/no_loop.py"
WORDS = "charlm/sampling/filters/word_temperature.py"
ORDER = ("tests/sampling/test_drawing.py::test_temperature_comes_before_top_k_and_top_k_before_top_p",)

FAULTS = (
    Fault(
        "a drawn end has no log-probability among those of the characters",
        "charlm/sampling/sampler.py",
        "tuple(column[:count])",
        "tuple(column[: count - 1])",
        ("tests/sampling/test_sampler.py::test_log_probability_has_a_part_for_each_character_and_the_end",),
    ),
    Fault(
        "top-p keeps one more where p is reached exactly",
        "charlm/sampling/filters/top_p.py",
        "is_short = cumulative[..., :-1] < value",
        "is_short = cumulative[..., :-1] <= value",
        ("tests/sampling/test_filters.py::test_top_p_keeps_no_more_if_p_is_reached_exactly",),
    ),
    Fault("temperature after top-p", FILTERS, TEMPERATURE + TOP_K + TOP_P, TOP_K + TOP_P + TEMPERATURE, ORDER),
    Fault("top-k after top-p", FILTERS, TOP_K + TOP_P, TOP_P + TOP_K, ORDER),
    Fault(
        "a batch of logits far below 0 underflows",
        "charlm/sampling/drawing.py",
        "shifted = logits - logits.max(axis=1, keepdims=True)\n        weights",
        "shifted = logits\n        weights",
        ("tests/sampling/test_drawing.py::test_an_offset_of_the_logits_changes_nothing",),
    ),
    Fault(
        "one stream of large logits overflows",
        "charlm/sampling/drawing.py",
        "is_safe = self._scale == 1 and abs(maximum) < MAX_EXPONENT",
        "is_safe = self._scale == 1",
        ("tests/sampling/test_drawing.py::test_an_offset_of_the_logits_changes_nothing",),
    ),
    Fault(
        "a model of lines draws the newline of the running text that it learned before",
        "charlm/text/vocabulary.py",
        "self.never_drawn = (self.unk, self._ids",
        "self.never_drawn = (self.unk, self.unk or self._ids",
        ("tests/test_model.py::test_model_of_lines_never_draws_the_newline_of_running_text_before",),
    ),
    Fault(
        "the log-probability of a sample is that of its temperature",
        "charlm/sampling/drawing.py",
        "log_totals = np.log(weights.sum(axis=1))\n        allowed",
        "log_totals = np.log((weights ** (self._scale or 1)).sum(axis=1))\n        allowed",
        ("tests/sampling/test_drawing.py::test_log_probabilities_are_those_of_the_unfiltered_softmax",),
    ),
    Fault(
        "a temperature beyond float32 overflows",
        "charlm/sampling/filters/temperature.py",
        "min(max(value, LOWEST_TEMPERATURE), float(np.finfo(logits.dtype).max))",
        "max(value, LOWEST_TEMPERATURE)",
        ("tests/sampling/test_drawing.py::test_the_highest_temperature_draws_uniformly",),
    ),
    Fault(
        "a repetition of exactly the limit costs something",
        NO_LOOP,
        "size + 1 - self._limit",
        "size + 2 - self._limit",
        ("tests/sampling/test_text_filters.py::test_penalty_of_a_repetition_is_its_length_beyond_the_limit",),
    ),
    Fault(
        "the texts of a batch share the record of what was repeated",
        NO_LOOP,
        "self._ids.copy(), self._ends.copy()",
        "self._ids, self._ends",
        ("tests/sampling/test_text_filters.py::test_stream_and_batch_draw_the_same_with_all_filters",),
    ),
    Fault(
        "temperature 0 repeats without end",
        FILTERS,
        'if name in ("max_copy", "no_loop")}',
        'if name == "max_copy"}',
        ("tests/sampling/test_text_filters.py::test_no_loop_ends_the_loop_of_temperature_0",),
    ),
    Fault(
        "a text does not start a word",
        WORDS,
        "token == self._eos or",
        "token < 0 or",
        ("tests/sampling/test_text_filters.py::test_word_temperature_applies_after_whitespace_and_at_the_start",),
    ),
    Fault(
        "min-p drops the ids at its bound",
        "charlm/sampling/filters/min_p.py",
        "math.log(value)",
        "math.log(value) + 1e-3",
        ("tests/sampling/test_filters.py::test_worked_numbers",),
    ),
    Fault(
        "an expression matches a beginning of the text",
        "charlm/sampling/constraint.py",
        "np.where(automaton.is_accepting, 0, NEVER)",
        "np.where(automaton.is_accepting, 0, 0)",
        ("tests/sampling/test_constraint.py::test_thousand_samples_match",),
    ),
    Fault(
        "a text that must match is cut at the length",
        "charlm/sampling/constraint.py",
        "return penalties(self._needed[states] < left)",
        "return penalties(self._needed[states] <= left)",
        ("tests/sampling/test_constraint.py::test_thousand_samples_match",),
    ),
    Fault(
        "exact sampling accepts every text",
        "charlm/sampling/constraint.py",
        "[active] >= np.exp(log_kept)",
        "[active] >= 1",
        (
            "tests/sampling/test_constraint.py::"
            "test_masked_texts_follow_the_stepwise_distribution_and_exact_texts_the_conditional_one",
        ),
    ),
    Fault(
        "the log-probability of a text that matches is that of the mask",
        "charlm/sampling/drawing.py",
        "return ids, shifted[np.arange(ids.size), ids] - log_totals, np.log(",
        "return ids, np.log(kept / kept), np.log(",
        ("tests/sampling/test_constraint.py::test_weight_of_a_text_is_its_probability_over_that_of_the_mask",),
    ),
    Fault(
        "the end of the text is an anchor anywhere",
        "charlm/sampling/automaton.py",
        "at = {END} if rows else {START, END}",
        "at = {START, END}",
        ("tests/sampling/test_automaton.py::test_automaton_accepts_what_re_matches",),
    ),
)
