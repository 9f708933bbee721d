"""Faults of dynamic evaluation and of scoring in windows."""

from __future__ import annotations

from tests.mutants.fault import Fault

DYNAMIC = "charlm/scoring/dynamic_evaluation.py"
CHUNKED = "charlm/scoring/chunked.py"
TESTS = "tests/scoring/test_dynamic_evaluation.py::"
CHUNKED_TESTS = "tests/scoring/test_chunked.py::"
EQUATIONS = (TESTS + "test_weights_adapt_as_in_the_equations",)

FAULTS = (
    Fault(
        "no decay towards the trained weights", DYNAMIC, "decay_rate: float = 1e-3", "decay_rate: float = 0", EQUATIONS
    ),
    Fault(
        "the model itself is changed",
        DYNAMIC,
        "network.parameters(trained.flat.copy())",
        "network.parameters(trained.flat)",
        (TESTS + "test_the_model_is_not_changed",),
    ),
    Fault(
        "what was learned from one text is not kept for the next",
        DYNAMIC,
        '"""Reset the state."""',
        "self.params.flat[...] = self.trained.flat",
        EQUATIONS,
    ),
    Fault(
        "the end never counts",
        DYNAMIC,
        "vocabulary.encode(text), [vocabulary.eos] * end))",
        "vocabulary.encode(text)))",
        (TESTS + "test_the_end_counts_where_the_model_learned_lines",),
    ),
    Fault(
        "state is not carried from segment to segment",
        DYNAMIC,
        "        self.state = next_state\n",
        "",
        EQUATIONS,
    ),
    Fault(
        "the gradient is not divided by its running root mean square",
        DYNAMIC,
        "grads / (root_mean_square + config.epsilon)",
        "grads",
        EQUATIONS,
    ),
    Fault(
        "windows of score_characters start with a reset state",
        "charlm/scoring/characters.py",
        "log_probs, state = network.predict(",
        "log_probs, _ = network.predict(",
        ("tests/scoring/test_scorer.py::test_state_is_carried_between_the_windows_of_a_long_text",),
    ),
    Fault(
        "stale chunks that were not read again are forgotten",
        CHUNKED,
        "stale = np.union1d(np.setdiff1d(stale, chosen), self._propagate(np.concatenate(completed)))",
        "stale = self._propagate(np.concatenate(completed))",
        (CHUNKED_TESTS + "test_stale_chunks_stay_stale_until_they_are_read",),
    ),
    Fault(
        "the second chunk is not read again",
        CHUNKED,
        "following = np.sort(completed[completed < self.chunks - 1]) + 1",
        "following = np.sort(completed[(completed > 0) & (completed < self.chunks - 1)]) + 1",
        (CHUNKED_TESTS + "test_chunks_of_a_network_that_never_forgets_are_read_again",),
    ),
    Fault(
        "a long text does not start from the state after its context",
        CHUNKED,
        "assign(self.initial_states, np.array([0]), state)",
        "pass",
        ("tests/scoring/test_scorer.py::test_a_long_text_is_scored_after_its_context",),
    ),
    Fault(
        "texts with equal probabilities change their order",
        "charlm/scoring/ranking.py",
        "key=lambda pair: -pair[1].log_prob)",
        "key=lambda pair: pair[1].log_prob)[::-1]",
        ("tests/scoring/test_ranking.py::test_texts_with_equal_probabilities_keep_their_order",),
    ),
    Fault(
        "characters with equal probabilities have lower ranks",
        "charlm/scoring/characters.py",
        "log_probs > at_target[:, None]",
        "log_probs >= at_target[:, None]",
        ("tests/scoring/test_scorer.py::test_characters_with_equal_probabilities_have_equal_ranks",),
    ),
    Fault(
        "the probability of a word leaves out that it ends",
        "charlm/scoring/continuations.py",
        "log_prob + float(np.logaddexp.reduce(log_probs[self._outside]))",
        "log_prob",
        ("tests/scoring/test_continuations.py::test_words_are_the_most_probable_of_all",),
    ),
    Fault(
        "a word that the prompt begins cannot end there",
        "charlm/scoring/continuations.py",
        "may_end=bool(self._begun)",
        "may_end=False",
        ("tests/scoring/test_continuations.py::test_word_that_the_prompt_begins_is_completed",),
    ),
    Fault(
        "a space belongs to the word before it",
        "charlm/scoring/score.py",
        "(is_open or not token[:1].isspace())",
        "True",
        ("tests/scoring/test_score.py::test_words_have_the_whitespace_before_them_and_sum_to_the_text",),
    ),
)
