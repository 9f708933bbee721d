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
)
