"""Faults of charlm/text: how text becomes windows."""

from __future__ import annotations

from tests.mutants.fault import Fault

BATCHES = "tests/text/test_batches.py"
BOTH_SIDES = "tests/text/test_both_sides.py"
CORPUS = "tests/text/test_corpus.py"
CLEANED = "tests/test_model.py::test_texts_prompts_contexts_and_stop_strings_are_cleaned_as_training_cleans"

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
        "charlm/text/holdout.py",
        "        rest = piece[cut:]",
        "        rest = piece[:0]",
        (f"{CORPUS}::test_lines_longer_than_a_chunk_stay_whole",),
    ),
    Fault(
        "one held-out stretch more",
        "charlm/text/holdout.py",
        "behind // period < stretches",
        "behind // period <= stretches",
        (f"{CORPUS}::test_held_out_stretches_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "the first held-out stretch at the very beginning",
        "charlm/text/holdout.py",
        "first = 1 + (period - length) // 2",
        "first = 1",
        (f"{CORPUS}::test_held_out_stretches_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "blanks are learned as UNK targets",
        "charlm/text/bidirectional.py",
        "counts = ~blank & (targets != batches.eos)",
        "counts = targets != batches.eos",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
    Fault(
        "no blanks in training",
        "charlm/text/bidirectional.py",
        "WITH_BLANKS = 0.5",
        "WITH_BLANKS = 0.0",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
    Fault(
        "margins count in training",
        "charlm/text/bidirectional.py",
        "inside[self.margin : self.margin + self.own] = 1",
        "inside[:] = 1",
        (f"{BOTH_SIDES}::TestRunningText",),
    ),
    Fault(
        "EOS counts in the held-out loss of bidirectional models",
        "charlm/text/bidirectional.py",
        "    counts = is_text[1:] & (window[1:] != start)",
        "    counts = is_text[1:].copy()",
        (f"{BOTH_SIDES}::TestHeldOut::test_each_character_counts_once_and_eos_never",),
    ),
    Fault(
        "EOS counts in the training of bidirectional models",
        "charlm/text/bidirectional.py",
        "counts = ~blank & (targets != batches.eos)",
        "counts = ~blank",
        (f"{BOTH_SIDES}::TestLines",),
    ),
    Fault(
        "blanks are read as they are",
        "charlm/text/bidirectional.py",
        "    next_inputs[blank[:-1] & (next_inputs != batches.eos)] = batches.unk\n",
        "",
        (f"{BOTH_SIDES}::TestBlanks::test_blank_is_read_as_unk_and_is_no_target",),
    ),
    Fault(
        "a context is not normalised",
        "charlm/model.py",
        "given, context = map(self.clean, texts), self.clean(context)",
        "given = map(self.clean, texts)",
        (CLEANED,),
    ),
    Fault(
        "the context of single characters is not normalised",
        "charlm/model.py",
        "            context=self.clean(context),",
        "            context=context,",
        (CLEANED,),
    ),
    Fault(
        "a stop string is not normalised",
        "charlm/model.py",
        "return completed if completed.stop is None else replace(completed, stop=self.clean(completed.stop))",
        "return completed",
        (CLEANED,),
    ),
    Fault(
        "CR LF in strings is no newline",
        "charlm/text/reading.py",
        '    if "\\r" in text:',
        "    if False:",
        (CLEANED,),
    ),
    Fault(
        "classified texts are cleaned as the last model's text was",
        "charlm/scoring/ranking.py",
        "_scores(model, copy, end=end, context=context)",
        "_scores(models[-1], copy, end=end, context=context)",
        ("tests/test_model.py::test_classified_texts_are_cleaned_for_each_model",),
    ),
    Fault(
        "a prompt file is read as UTF-8, whatever the model's text was",
        "charlm/cli/sample.py",
        "    text = read_text(path, config)",
        "    text = read_text(path)",
        ("tests/cli/test_text_handling.py::TestEncodings::test_prompt_file_is_decoded_as_the_text_was",),
    ),
    Fault(
        "the last newline of a prompt file ends the line that is to be continued",
        "charlm/cli/sample.py",
        'return text.removesuffix("\\n") if config.lines else text',
        "return text",
        ("tests/cli/test_text_handling.py::TestPromptsOfLines",),
    ),
    Fault(
        "--encoding is ignored",
        "charlm/cli/options.py",
        "encoding=encoding or model.text.encoding",
        "encoding=model.text.encoding",
        ("tests/cli/test_text_handling.py::TestEncodings",),
    ),
    Fault(
        "archives are learned",
        "charlm/text/reading.py",
        "            refuse_foreign(head, name, config)\n",
        "",
        ("tests/text/test_reading.py::test_archives_are_refused_by_name",),
    ),
    Fault(
        "normalisation is quadratic in a line without ASCII",
        "charlm/text/reading.py",
        "for k in range(len(chunk) - 1, -1, -1) if is_border(chunk[k])",
        'for k in range(len(chunk) - 1, -1, -1) if list(map(is_border, "".join(held))) and is_border(chunk[k])',
        ("tests/text/test_reading.py::test_normalizing_inspects_each_character_once",),
    ),
    Fault(
        "a text of nothing but UNK is learned",
        "charlm/text/corpus.py",
        "        if unknown == 1:",
        "        if unknown > 1:",
        (f"{CORPUS}::test_text_of_nothing_but_unknown_is_refused",),
    ),
)
