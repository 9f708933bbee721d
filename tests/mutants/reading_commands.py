"""Faults of commands on files of lines and on empty ones."""

from __future__ import annotations

from tests.mutants.fault import Fault

LINES = "tests/cli/test_lines.py::"

FAULTS = (
    Fault(
        "score --lines fails on an empty file",
        "charlm/cli/scores.py",
        "table_of([score for _, score in scores], base, unit)",
        "table_of([score for _, score in scores] or [Score()], base, unit)",
        (LINES + "test_an_empty_file_has_no_lines",),
    ),
    Fault(
        "an empty text prints nan",
        "charlm/cli/scores.py",
        'return "-" if math.isnan(value) else format(value, digits)',
        "return format(value, digits)",
        (LINES + "test_an_empty_text_has_no_figures_per_character",),
    ),
    Fault(
        "the newline at the end of a file counts as an empty line",
        "charlm/cli/inputs.py",
        'return text.removesuffix("\\n") if config.lines else text',
        "return text",
        (LINES + "test_summary_of_a_file_is_that_of_its_lines",),
    ),
    Fault(
        "odd --spots of a model of lines finds the newlines of empty lines",
        "charlm/cli/odd.py",
        "    if model.text.lines:\n",
        "    if False:\n",
        (LINES + "test_spots_of_a_model_of_lines_are_its_least_probable_characters",),
    ),
    Fault(
        "fill --lines stops at a line without a gap",
        "charlm/cli/fill.py",
        "if inputs.by_line and len(blank) == 1 and",
        "if False and",
        (LINES + "test_fill_prints_lines_without_a_gap_unchanged",),
    ),
    Fault(
        "score --rank ignores its arguments",
        "charlm/cli/score.py",
        'if view == "groups" and inputs.has_texts:',
        "if False:",
        (LINES + "test_rank_refuses_texts_outside_of_groups",),
    ),
    Fault(
        "score --rank ignores --strict",
        "charlm/cli/score.py",
        "if adapt else score_many(checked(texts))",
        "if adapt else score_many(texts)",
        (LINES + "test_rank_with_strict_refuses_unknown_characters",),
    ),
    Fault(
        "score --rank drops empty candidates",
        "charlm/cli/inputs.py",
        "[candidate for _, candidate in run]",
        "[candidate for _, candidate in run if candidate.text]",
        (LINES + "test_rank_counts_an_empty_candidate",),
    ),
)
