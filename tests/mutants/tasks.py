"""Faults of the tasks: labelled text, taggers and restoring."""

from __future__ import annotations

from tests.mutants.fault import Fault

RESTORE = "tests/tasks/test_restore.py::"
STRIPPING = "tests/text/test_stripping.py::"
LABELLED = "tests/text/test_labelled.py::"
TAGGER = "tests/nn/test_tagger.py::"
RUNS = "tests/runs/test_labelled_runs.py::"

FAULTS = (
    Fault(
        "a label changes what is left of the text",
        "charlm/text/stripping.py",
        "return new if self.strip(new) == self.strip(unit) else unit",
        "return new",
        (STRIPPING + "test_restoring_never_changes_the_stripped_text",),
    ),
    Fault(
        "marks that are there are replaced",
        "charlm/text/stripping.py",
        "if not has_marks and (label.variant or label.marks):",
        "if label.variant or label.marks:",
        (STRIPPING + "test_label_adds_only_what_is_missing_and_fits",),
    ),
    Fault(
        "the backward stack reads the window forwards",
        "charlm/nn/bidirectional.py",
        "return inputs, inputs[::-1]",
        "return inputs, inputs",
        (TAGGER + "TestEveryCell::test_probabilities_and_loss_equal_the_equations",),
    ),
    Fault(
        "targets are the labels of the next characters",
        "charlm/text/labelled.py",
        "return Batch(tokens[1:], np.maximum(labels[1:], 0), counts.astype(np.float32))",
        "return Batch(tokens[:-1], np.maximum(labels[1:], 0), counts.astype(np.float32))",
        (LABELLED + "test_label_of_each_token_is_that_of_its_symbol",),
    ),
    Fault(
        "blocks are restored without the text around them",
        "charlm/tasks/restore.py",
        "held = held[max(0, first + size - context) :]",
        "held = held[first + size :]",
        (RESTORE + "test_result_does_not_depend_on_the_windows_read_at_a_time",),
        (("charlm/tasks/restore.py", "first = min(first + size, context)", "first = 0"),),
    ),
    Fault(
        "addresses are changed",
        "charlm/tasks/restore.py",
        "closed[address.start() : address.end()] = True",
        "closed[address.start() : address.end()] = False",
        (RESTORE + "test_addresses_numbers_and_unknown_characters_stay",),
    ),
    Fault(
        "a resumed run numbers its labels again",
        "charlm/runs/setup.py",
        "saved.labels if saved else None",
        "None if saved else None",
        (RUNS + "test_resumed_run_keeps_the_numbers_of_its_labels",),
    ),
)
