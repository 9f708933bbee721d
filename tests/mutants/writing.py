"""Faults of writing together."""

from __future__ import annotations

from tests.mutants.fault import Fault

WRITING = "charlm/writing.py"
TESTS = "tests/test_writing.py::"

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
)
