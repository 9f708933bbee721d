"""Faults of charlm/text: how text becomes windows."""

from __future__ import annotations

from tests.mutants.fault import Fault

BATCHES = "tests/text/test_batches.py"
BOTH_SIDES = "tests/text/test_both_sides.py"
CORPUS = "tests/text/test_corpus.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "state is carried over the jump between epochs",
        "charlm/text/batches.py",
        "< (1.0 if begins_epoch else self.restart_rate)",
        "< self.restart_rate",
        (f"{BATCHES}::TestRunningText::test_streams_restart_where_an_epoch_begins",),
    ),
    Fault(
        "the rest of a long line is learned in a column that never read its start",
        "charlm/text/batches.py",
        "        if place == 0:  # the rest",
        "        if False:  # the rest",
        (f"{BATCHES}::TestLines::test_every_line_is_read_from_its_start",),
    ),
    Fault(
        "a line that crosses a chunk loses its head",
        "charlm/text/lines.py",
        "        rest = piece[cut:]",
        "        rest = piece[:0]",
        (f"{CORPUS}::test_lines_longer_than_a_chunk_stay_whole",),
    ),
    Fault(
        "one held-out stretch more",
        "charlm/text/stretches.py",
        "behind // period < stretches",
        "behind // period <= stretches",
        (f"{CORPUS}::test_held_out_stretches_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "the first held-out stretch at the very beginning",
        "charlm/text/stretches.py",
        "first = 1 + (period - length) // 2",
        "first = 1",
        (f"{CORPUS}::test_held_out_stretches_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "blanks are learned as UNK targets",
        "charlm/text/both_sides.py",
        "counts = ~blank & (targets != batches.eos)",
        "counts = targets != batches.eos",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
    Fault(
        "no blanks in training",
        "charlm/text/both_sides.py",
        "WITH_BLANKS = 0.5",
        "WITH_BLANKS = 0.0",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
    Fault(
        "margins count in training",
        "charlm/text/both_sides.py",
        "inside[self.margin : self.margin + self.own] = 1",
        "inside[:] = 1",
        (f"{BOTH_SIDES}::TestRunningText",),
    ),
    Fault(
        "EOS counts in the held-out loss of bidirectional models",
        "charlm/text/both_sides.py",
        "    counts = is_text[1:] & (window[1:] != start)",
        "    counts = is_text[1:].copy()",
        (f"{BOTH_SIDES}::TestHeldOut::test_each_character_counts_once_and_eos_never",),
    ),
    Fault(
        "EOS counts in the training of bidirectional models",
        "charlm/text/both_sides.py",
        "counts = ~blank & (targets != batches.eos)",
        "counts = ~blank",
        (f"{BOTH_SIDES}::TestLines",),
    ),
    Fault(
        "blanks are read as they are",
        "charlm/text/both_sides.py",
        "    next_inputs[blank[:-1] & (next_inputs != batches.eos)] = batches.unk\n",
        "",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
)
