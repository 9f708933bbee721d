"""Faults of writing together, and of finding copies."""

from __future__ import annotations

from tests.mutants.fault import Fault

WRITING = "charlm/writing.py"
COPIES = "charlm/text/copies.py"
TESTS = "tests/test_writing.py::"
NAIVE = ("tests/text/test_copies.py::test_runs_and_novelty_are_those_of_a_comparison_character_by_character",)
NO_COPY = "tests/sampling/test_no_copy.py::"

FAULTS = (
    Fault(
        "a picked continuation is read from the state at the start",
        WRITING,
        "self._read(step, text)",
        "self._read(self._steps[0], text)",
        (TESTS + "test_steps_that_are_read_piece_by_piece_equal_one_text",),
    ),
    Fault(
        "undone steps can be redone after another step",
        WRITING,
        "del self._steps[self._current + 1 :]",
        "pass",
        (TESTS + "test_a_new_step_replaces_what_was_undone",),
    ),
    Fault(
        "a word that the limit cut is proposed",
        WRITING,
        'OPEN_WORD.sub("", text) or text',
        "text",
        (TESTS + "test_a_word_that_the_limit_cuts_is_no_part_of_a_continuation",),
    ),
    Fault(
        "a text is saved only at the end",
        "charlm/cli/write_lines.py",
        "draft.save(session.text)\n        show_step",
        "show_step",
        ("tests/cli/test_write.py::test_a_signal_leaves_the_text_in_the_file",),
    ),
    Fault(
        "runs that cross the chunks of a corpus are cut",
        COPIES,
        "overlap = MAX_LENGTH + 1",
        "overlap = 0",
        NAIVE,
    ),
    Fault(
        "runs inside of longer ones are reported",
        COPIES,
        "if begin + size > reached:",
        "if True:",
        NAIVE,
    ),
    Fault(
        "n-grams that share a place of the table are lost",
        "charlm/text/ngrams.py",
        "= SEVERAL\n",
        "= NONE\n",
        ("tests/text/test_copies.py::test_a_set_finds_its_ngrams_alone",),
    ),
    Fault(
        "a copy may be one character longer than the limit",
        "charlm/sampling/filters/no_copy.py",
        "len(self._ids) < self._limit",
        "len(self._ids) <= self._limit",
        (NO_COPY + "test_no_text_has_a_longer_run_than_the_limit",),
    ),
)
