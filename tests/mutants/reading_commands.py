"""Faults of commands on files of lines and on empty ones."""

from __future__ import annotations

from tests.mutants.fault import Fault

LINES = "tests/cli/test_lines.py::"
SCRIPTS = "tests/cli/test_scripts.py::"

FAULTS = (
    Fault(
        "score --lines fails on an empty file",
        "charlm/cli/scores.py",
        "table_of(scores, base, unit)",
        'table_of(list(scores) or [(NamedText(""), Score())], base, unit)',
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
        "        if model.text.lines:\n",
        "        if False:\n",
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
        "return score_many(checked(texts))",
        "return score_many(texts)",
        (LINES + "test_rank_with_strict_refuses_unknown_characters",),
    ),
    Fault(
        "score --rank drops empty candidates",
        "charlm/cli/inputs.py",
        "[candidate for _, candidate in run]",
        "[candidate for _, candidate in run if candidate.text]",
        (LINES + "test_rank_counts_an_empty_candidate",),
    ),
    Fault(
        "odd --spots of a model of lines skips the end of the last line",
        "charlm/cli/odd.py",
        'text += "\\n"',
        'text += ""',
        (LINES + "test_spots_of_a_model_of_lines_score_the_end_of_the_last_line",),
    ),
    Fault(
        "odd --fail-over fails without a line above the limit",
        "charlm/cli/odd.py",
        "highest <= fail_over",
        "highest <= 0",
        (SCRIPTS + "TestExitCodes::test_odd_fails_over_a_limit",),
    ),
    Fault(
        "proof --fail ends as if nothing was found",
        "charlm/cli/proof.py",
        "return FOUND if fail and first else DONE",
        "return DONE",
        (SCRIPTS + "TestExitCodes::test_proof_fails_if_it_marks_something",),
    ),
    Fault(
        "FORCE_COLOR is stronger than NO_COLOR",
        "charlm/cli/terminal.py",
        'if os.environ.get("NO_COLOR"):',
        'if os.environ.get("NO_COLOR") and not os.environ.get("FORCE_COLOR"):',
        (SCRIPTS + "TestColours",),
    ),
    Fault(
        "a flag of the environment excludes one of the command line",
        "charlm/cli/options.py",
        "if is_other_given and not is_given:",
        "if False:",
        (SCRIPTS + "TestEnvironment::test_command_line_overrides_a_variable",),
    ),
    Fault(
        "the name of a variable is that of the parameter in Python",
        "charlm/cli/command.py",
        "{longest(self).lstrip('-')}",
        "{self.name}",
        (SCRIPTS + "TestEnvironment::test_name_of_a_variable_is_the_flag",),
    ),
    Fault(
        "states are completed as models",
        "charlm/cli/completion.py",
        " and not name.endswith(STATE_SUFFIX)",
        "",
        (SCRIPTS + "TestCompletion::test_zsh_and_fish",),
    ),
    Fault(
        "the command that has an option is not named",
        "charlm/cli/suggestions.py",
        "others = [] if similar else commands_with(flag, context)",
        "others = []",
        ("tests/cli/test_help.py::test_wrong_word_is_answered_with_the_most_similar_one",),
    ),
)
