"""Faults of charlm/page: what a page shows, and how it is written."""

from __future__ import annotations

from tests.mutants.fault import Fault

FACTS, RENDER, EXPECTED = "charlm/page/facts.py", "charlm/page/render.py", "charlm/sampling/expected.py"

FAULTS = (
    Fault(
        "a text can end the script element",
        RENDER,
        """text.replace("<", "\\\\u003c")""",
        "text",
        ("tests/page/test_render.py::test_hostile_texts_are_data",),
    ),
    Fault(
        "the name of a model is HTML",
        RENDER,
        'escape(printable(str(facts["model"]["name"]), MAX_NAME))',
        'str(facts["model"]["name"])',
        ("tests/page/test_render.py::test_hostile_texts_are_data",),
    ),
    Fault(
        "the policy allows every script",
        RENDER,
        "script-src '{hash_of(script)}'; \"",
        "script-src 'unsafe-inline'; \"",
        ("tests/page/test_render.py::test_policy_allows_the_own_script_and_style_alone",),
    ),
    Fault(
        "the cells of the first member are shown",
        FACTS,
        "activations = model.activations(passage.shown, member=inspection.member)",
        "activations = model.activations(passage.shown)",
        ("tests/page/test_facts.py::test_cells_and_gates_are_those_of_the_model",),
    ),
    Fault(
        "a text of a position may be empty",
        EXPECTED,
        "        logits[last == eos, eos] = -np.inf  # no text is empty\n",
        "",
        ("tests/sampling/test_expected.py",),
    ),
)
