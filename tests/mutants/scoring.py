"""Faults of dynamic evaluation and of scoring in windows."""

from __future__ import annotations

from tests.mutants.fault import Fault

ADAPTING = "charlm/scoring/dynamic_evaluation.py"
EQUATIONS = ("tests/scoring/test_adapting.py::test_weights_follow_the_texts_as_the_equations_say",)

FAULTS = (
    Fault("no pull back to the trained weights", ADAPTING, "PULL_BACK = 1e-3", "PULL_BACK = 0", EQUATIONS),
    Fault(
        "the model itself is changed",
        ADAPTING,
        "network.parameters(params.flat.copy())",
        "network.parameters(params.flat)",
        ("tests/scoring/test_adapting.py::test_the_model_itself_stays_as_it_is",),
    ),
    Fault(
        "what was learned from one text is not kept for the next",
        ADAPTING,
        "    follower = DynamicEvaluator(network, params, learning_rate)\n    for text in texts:\n",
        "    for text in texts:\n        follower = DynamicEvaluator(network, params, learning_rate)\n",
        EQUATIONS,
    ),
    Fault(
        "the end never counts",
        ADAPTING,
        "vocabulary.encode(text), [vocabulary.eos] * end))",
        "vocabulary.encode(text)))",
        ("tests/scoring/test_adapting.py::test_the_end_counts_where_the_model_learned_lines",),
    ),
    Fault(
        "state is not carried from stretch to stretch",
        ADAPTING,
        "log_probs[span], state = follower.read(",
        "log_probs[span], _ = follower.read(",
        EQUATIONS,
    ),
    Fault(
        "the gradient is not divided by its running root mean square",
        ADAPTING,
        "self._rate * grads / root",
        "self._rate * grads",
        EQUATIONS,
    ),
    Fault(
        "windows of score_characters start with a reset state",
        "charlm/scoring/scorer.py",
        "log_probs, state = runner.predict(",
        "log_probs, _ = runner.predict(",
        ("tests/scoring/test_scorer.py::test_state_is_carried_between_the_windows_of_a_long_text",),
    ),
)
