"""Faults of charlm/diagnostics: norms of gradients, activations, saliency, and the ranking of cells."""

from __future__ import annotations

from tests.mutants.fault import Fault

NORMS, FLOW, ACTIVATIONS, SALIENCY, RANKING = (
    f"charlm/diagnostics/{name}.py"
    for name in ("gradient_norms", "gradient_flow", "activations", "saliency", "cell_ranking")
)

FAULTS = (
    Fault(
        "squared norms",
        NORMS,
        "np.linalg.norm(dh, axis=1)",
        "np.square(dh).sum(axis=1)",
        ("tests/diagnostics/test_gradient_norms.py::test_norms_are_root_sums_of_squares",),
    ),
    Fault(
        "overflowing gradients give a warning",
        NORMS,
        'with np.errstate(over="ignore", invalid="ignore"):',
        "with np.errstate():",
        ("tests/diagnostics/test_gradient_norms.py::test_overflowing_gradients_are_not_finite_and_give_no_warning",),
    ),
    Fault(
        "states before a reset count",
        FLOW,
        "totals += np.where(is_same, norms, 0).sum(axis=2)\n            counts += is_same.sum(axis=1)",
        "totals += norms.sum(axis=2)\n            counts += len(batch)",
        ("tests/diagnostics/test_gradient_flow.py::test_lines_are_separate_texts",),
    ),
    Fault(
        "a text that is shorter than the distance is measured at one position",
        FLOW,
        "first = back if last > back else 0",
        "first = min(back, last)",
        ("tests/diagnostics/test_gradient_flow.py::test_short_text_has_counts_of_zero_beyond_its_start",),
    ),
    Fault(
        "the state before each character, not after it",
        ACTIVATIONS,
        "values[layer, chunk] = state[1:, 0]",
        "values[layer, chunk] = state[:-1, 0]",
        ("tests/diagnostics/test_activations.py::test_states_and_gates_equal_the_naive_equations",),
    ),
    Fault(
        "each chunk starts from a zero state",
        ACTIVATIONS,
        "        state = cache.state\n",
        "",
        ("tests/diagnostics/test_activations.py::test_chunks_equal_one_window",),
    ),
    Fault(
        "saliency crosses a reset",
        SALIENCY,
        "resets = reset_steps((inputs != network.start)",
        "resets = reset_steps((inputs > -1)",
        ("tests/diagnostics/test_saliency.py::test_characters_before_a_reset_have_no_saliency",),
    ),
    Fault(
        "saliency of the loss, not of the log-probability",
        SALIENCY,
        "saliency: Array = -np.einsum(",
        "saliency: Array = np.einsum(",
        ("tests/diagnostics/test_saliency.py::test_saliency_equals_numeric_differences",),
    ),
    Fault(
        "the held-out measure is that of the first half",
        RANKING,
        "compute(second[:, candidates], checked)",
        "compute(first[:, candidates], values)",
        ("tests/diagnostics/test_cell_ranking.py::test_cell_that_predicts_the_first_half_alone_fails_the_check",),
    ),
    Fault(
        "ties are broken by their order",
        RANKING,
        "(first + last) / 2 + 1",
        "index + 1.0",
        ("tests/diagnostics/test_cell_ranking.py::test_auc_equals_the_count_of_pairs",),
    ),
    Fault(
        "the baseline is measured on the half that it is from",
        RANKING,
        "compute(guess[:, None], checked[row : row + 1])",
        "compute(guess[:, None], values[row : row + 1])",
        ("tests/diagnostics/test_cell_ranking.py::test_baseline_is_what_the_character_alone_predicts",),
    ),
)
