"""Faults of charlm/text: how text becomes windows."""

from __future__ import annotations

from tests.mutants.fault import Fault

BATCHES = "tests/text/test_batches.py"
BIDIRECTIONAL = "tests/text/test_bidirectional.py"
CORPUS = "tests/text/test_corpus.py"
CLEANED = "tests/test_model.py::test_texts_prompts_contexts_and_stop_strings_are_normalised_like_the_training_text"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "state is carried over the jump between epochs",
        "charlm/text/batches.py",
        "< (1.0 if jumps else self.reset_rate)",
        "< self.reset_rate",
        (f"{BATCHES}::TestRunningText::test_streams_are_reset_at_the_start_of_an_epoch",),
    ),
    Fault(
        "the rest of a long line is learned in a column that never read its start",
        "charlm/text/batches.py",
        "        if index == 0:  # the start",
        "        if False:  # the start",
        (f"{BATCHES}::TestLines::test_line_split_between_columns_counts_only_after_its_start",),
    ),
    Fault(
        "a line that crosses a chunk loses its head",
        "charlm/text/holdout.py",
        "            held, chunk = [], chunk[ends[-1] + 1 :]\n",
        "            held, chunk = [], chunk[:0]\n",
        (f"{CORPUS}::test_lines_longer_than_a_chunk_are_kept",),
    ),
    Fault(
        "one held-out block more",
        "charlm/text/holdout.py",
        "offsets // period < blocks",
        "offsets // period <= blocks",
        (f"{CORPUS}::test_held_out_blocks_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "the first held-out block at the very start",
        "charlm/text/holdout.py",
        "first = 1 + (period - length) // 2",
        "first = 1",
        (f"{CORPUS}::test_held_out_blocks_are_in_the_middle_of_equal_periods",),
    ),
    Fault(
        "masked tokens are learned as UNK targets",
        "charlm/text/bidirectional.py",
        "counts = ~masked & (targets != EOS)",
        "counts = targets != EOS",
        (f"{BIDIRECTIONAL}::TestMasking::test_masked_token_is_read_as_unk_and_has_no_weight",),
    ),
    Fault(
        "no masked tokens in training",
        "charlm/text/tuning.py",
        "masked_streams: float = 0.5",
        "masked_streams: float = 0.0",
        (f"{BIDIRECTIONAL}::TestMasking::test_masked_token_is_read_as_unk_and_has_no_weight",),
    ),
    Fault(
        "margins count in training",
        "charlm/text/bidirectional.py",
        "is_inner[self.margin : self.margin + self.inner] = 1",
        "is_inner[:] = 1",
        (f"{BIDIRECTIONAL}::TestRunningText",),
    ),
    Fault(
        "EOS counts in the held-out loss of bidirectional models",
        "charlm/text/bidirectional.py",
        "    counts = is_text[1:] & (windows[1:] != EOS)",
        "    counts = is_text[1:].copy()",
        (f"{BIDIRECTIONAL}::TestHeldOut::test_each_character_counts_once_and_eos_never",),
    ),
    Fault(
        "EOS counts in the training of bidirectional models",
        "charlm/text/bidirectional.py",
        "counts = ~masked & (targets != EOS)",
        "counts = ~masked",
        (f"{BIDIRECTIONAL}::TestLines",),
    ),
    Fault(
        "masked tokens are read unchanged",
        "charlm/text/bidirectional.py",
        "    next_inputs[masked[:-1] & (next_inputs != EOS)] = UNK\n",
        "",
        (f"{BIDIRECTIONAL}::TestMasking::test_masked_token_is_read_as_unk_and_has_no_weight",),
    ),
    Fault(
        "a context is not normalised",
        "charlm/text_model.py",
        "texts, context = map(self.clean, texts), self.clean(context)",
        "texts = map(self.clean, texts)",
        (CLEANED,),
    ),
    Fault(
        "the context of single characters is not normalised",
        "charlm/text_model.py",
        "self.clean(text), self.clean(context), self.counts_end(end)",
        "self.clean(text), context, self.counts_end(end)",
        (CLEANED,),
    ),
    Fault(
        "a stop string is not normalised",
        "charlm/text_model.py",
        "return replace(config, **cleaned)",
        "return config",
        (CLEANED,),
    ),
    Fault(
        "CR LF in strings is no newline",
        "charlm/text/reading.py",
        'newlines.decode(chunk, final=not chunk) for chunk in chain(filter(None, chunks), [""])',
        "chunk for chunk in chunks",
        (CLEANED,),
    ),
    Fault(
        "classified texts are cleaned as the last model's text was",
        "charlm/scoring/ranking.py",
        "_scores(model, copy, end, context, cores)",
        "_scores(models[-1], copy, end, context, cores)",
        ("tests/test_model.py::test_classified_texts_are_normalised_for_each_model",),
    ),
    Fault(
        "a prompt file is read as UTF-8, whatever the model's text was",
        "charlm/cli/sample.py",
        "read_document(file, model.text)",
        "read_document(file, type(model.text)(lines=model.text.lines))",
        ("tests/cli/test_text_handling.py::TestEncodings::test_prompt_file_is_decoded_as_the_text_was",),
    ),
    Fault(
        "the last newline of a prompt file ends the line that is to be continued",
        "charlm/cli/sample.py",
        "read_document(file, model.text)",
        "read_text(file, model.text)",
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
        "            refuse_other_formats(head, name, config)\n",
        "",
        ("tests/text/test_reading.py::test_archives_are_refused_by_name",),
    ),
    Fault(
        "normalisation is quadratic in a line without ASCII",
        "charlm/text/reading.py",
        "        found = to_last_border.match(chunk)\n",
        '        chunk, held = "".join([*held, chunk]), []\n        found = to_last_border.match(chunk)\n',
        ("tests/text/test_reading.py::test_regrouping_of_a_long_line_in_small_pieces_is_linear",),
    ),
    Fault(
        "words are split at the ends of chunks",
        "charlm/text/numbering.py",
        "chunks = regroup(chunks, TO_LAST_WORD_BORDER)",
        "pass",
        (f"{CORPUS}::test_words_across_chunks_are_joined",),
    ),
    Fault(
        "a word with an apostrophe is split at the end of a chunk",
        "charlm/text/vocabulary.py",
        r'r".*(?=\s)"',
        r'r".*(?=[^\w])"',
        ("tests/text/test_reading.py::test_words_do_not_depend_on_the_pieces",),
    ),
    Fault(
        "a text of nothing but UNK is learned",
        "charlm/text/corpus.py",
        "        if unknown == 1:",
        "        if unknown > 1:",
        (f"{CORPUS}::test_text_of_only_unknown_tokens_is_refused",),
    ),
    Fault(
        "verse with punctuation is a list of names",
        "charlm/text/lists.py",
        '!= "Po"',
        '!= "Zz"',
        ("tests/text/test_lists.py::test_line_of_verse_or_code_is_no_item",),
    ),
    Fault(
        "every text with enough short lines is a list of names",
        "charlm/text/lists.py",
        "max(tuning.min_items, tuning.min_item_rate * len(lines))",
        "tuning.min_items",
        ("tests/text/test_lists.py",),
    ),
)
