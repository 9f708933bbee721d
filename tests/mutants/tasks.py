"""Faults of the tasks: labelled text, taggers, restoring and pairs."""

from __future__ import annotations

from tests.mutants.fault import Fault

RESTORE = "tests/tasks/test_restore.py::"
WORD_LABELS = "tests/tasks/test_word_labels.py::"
TAG = "tests/tasks/test_tag.py::"
CLASSIFY = "tests/tasks/test_classify.py::"
STRIPPING = "tests/text/test_stripping.py::"
LABELLED = "tests/text/test_labelled.py::"
TAGGER = "tests/nn/test_tagger.py::"
PAIRS = "tests/tasks/test_pairs.py::"
ENCODER = "tests/nn/test_encoder_decoder.py::TestEveryCell::"
PAIR_TEXT = "tests/text/test_pairs.py::"
RUNS = "tests/runs/test_labelled_runs.py::"
CONDITIONAL = "tests/tasks/test_conditional.py::"
LABELS_READ = "tests/nn/test_conditional.py::"

FAULTS = (
    Fault(
        "the gradient of a label misses some of its tokens",
        "charlm/nn/layers.py",
        'order = np.argsort(groups, kind="stable")',
        "order = np.arange(len(groups))",
        (LABELS_READ + "TestEveryCell::test_gradients_equal_numeric_ones",),
    ),
    Fault(
        "the bias gets the gradient of the labels, too",
        "charlm/nn/stack.py",
        "grad.weight_ih[:, :vocabulary].sum(axis=1, out=grad.bias_ih)",
        "grad.weight_ih.sum(axis=1, out=grad.bias_ih)",
        (LABELS_READ + "TestEveryCell::test_gradients_equal_numeric_ones",),
    ),
    Fault(
        "an EOS is read without the label of the text after it",
        "charlm/text/symbols.py",
        "labels = self.labels[np.where(targets == 0, inputs, targets)]",
        "labels = self.labels[inputs]",
        (CONDITIONAL + "TestCorpus::test_each_input_has_the_label_of_its_text",),
    ),
    Fault(
        "labels have equal priors in a sum over them",
        "charlm/any_label.py",
        "self._labels, self._log_priors = tuple(labels), np.log(priors)",
        "self._labels, self._log_priors = tuple(labels), np.log(np.full(len(priors), 1 / len(priors)))",
        (CONDITIONAL + "TestAnyLabel::test_score_sums_over_the_labels",),
    ),
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
        "held = held[max(0, last - context) :]",
        "held = held[last:]",
        (RESTORE + "test_result_does_not_depend_on_the_windows_read_at_a_time",),
        (("charlm/tasks/restore.py", "first = min(last, context)", "first = 0"),),
    ),
    Fault(
        "the probability of a label is that of the chosen form alone",
        "charlm/tasks/word_labels.py",
        "(own[steps, chosen] + gains @ (forms == chosen)) / (1 + gains.sum())",
        "(own[steps, chosen] + gains.max()) / (1 + gains.sum())",
        (WORD_LABELS + "test_choice_and_probabilities_are_those_of_all_forms",),
    ),
    Fault(
        "windows end inside words",
        "charlm/tasks/restore.py",
        "return next(borders, last)",
        "return last",
        (RESTORE + "test_words_are_known_wherever_a_window_ends",),
    ),
    Fault(
        "forms of the held-out text are counted",
        "charlm/tasks/restore.py",
        "ids, size = corpus.train_ids, ",
        "ids, size = corpus.ids, ",
        ("tests/runs/test_labelled_runs.py::test_model_remembers_the_forms_of_the_training_part",),
    ),
    Fault(
        "addresses are changed",
        "charlm/tasks/restore.py",
        "in_address[address.start() : address.end()] = True",
        "in_address[address.start() : address.end()] = False",
        (RESTORE + "test_addresses_numbers_and_unknown_characters_stay",),
    ),
    Fault(
        "texts of a batch do not end together",
        "charlm/tasks/classify.py",
        "window[-len(ids[k]) :, column] = ids[k]",
        "window[1 : len(ids[k]) + 1, column] = ids[k]",
        (CLASSIFY + "test_labels_are_those_at_the_end_of_each_text_in_any_batch",),
    ),
    Fault(
        "every position of a text has its label",
        "charlm/tasks/classify.py",
        "yield [*row.text.translate(SPACES), END + row.label, EOS]",
        "yield [*(c + row.label for c in row.text), END + row.label, EOS]",
        (CLASSIFY + "TestCorpus::test_only_the_end_of_a_text_counts",),
    ),
    Fault(
        "a confusion table has predicted labels as rows",
        "charlm/tasks/classify.py",
        "self.counts[true, self._numbers[predicted]] += 1",
        "self.counts[self._numbers[predicted], true] += 1",
        (CLASSIFY + "TestConfusion::test_rows_are_true_labels_and_columns_predicted_ones",),
    ),
    Fault(
        "the label of a token is that of its first character",
        "charlm/tasks/tag.py",
        "log_probs[start : start + n].mean(axis=0)",
        "log_probs[start]",
        (TAG + "test_score_of_a_token_is_the_mean_over_its_characters",),
    ),
    Fault(
        "a sentence may start within an entity",
        "charlm/tasks/spans.py",
        "allowed[:, column] = [*before, False]",
        "allowed[:, column] = [*before, True]",
        ("tests/tasks/test_spans.py::test_best_sequence_is_the_best_of_all_valid_ones",),
    ),
    Fault(
        "a few surprising labels end a run",
        "charlm/training/divergence.py",
        "if not (level if is_sparse else loss) <= max_loss:",
        "if not loss <= max_loss:",
        ("tests/reliability/test_divergence.py::test_documents_with_wrong_labels_train",),
    ),
    Fault(
        "a resumed run numbers its labels again",
        "charlm/runs/setup.py",
        "saved.labels if saved else None",
        "None if saved else None",
        (RUNS + "test_resumed_run_keeps_the_numbers_of_its_labels",),
    ),
    Fault(
        "the encoder gets no gradient from the first state of the decoder",
        "charlm/nn/encoder_decoder.py",
        "self.encoder.backward(params, grads, encoded, des, dstate, encoder_work)",
        "self.encoder.backward(params, grads, encoded, des, None, encoder_work)",
        (ENCODER + "test_gradients_equal_numeric_ones",),
    ),
    Fault(
        "the padding before a source gets attention",
        "charlm/nn/attention.py",
        "np.where(is_source, 0, EXCLUDED)",
        "np.where(is_source, 0, 0)",
        (ENCODER + "test_pairs_do_not_affect_each_other",),
    ),
    Fault(
        "the gradient of the attention is that of weights that need not sum to 1",
        "charlm/nn/attention.py",
        "dscores -= weights * dscores.sum(axis=2, keepdims=True)",
        "dscores -= 0",
        (ENCODER + "test_gradients_equal_numeric_ones",),
    ),
    Fault(
        "the decoder starts from a zero state",
        "charlm/nn/encoder_decoder.py",
        "shift(targets), encoded.state, decoder_work, rng)",
        "shift(targets), None, decoder_work, rng)",
        (ENCODER + "test_loss_and_probabilities_equal_the_equations",),
    ),
    Fault(
        "sources are cropped to their characters, so that some have no EOS before them",
        "charlm/nn/encoder_decoder.py",
        "return inputs[max(0, first - 1) :]",
        "return inputs[first:]",
        (ENCODER + "test_loss_and_probabilities_equal_the_equations",),
    ),
    Fault(
        "the decoder reads the label that it predicts",
        "charlm/nn/encoder_decoder.py",
        "previous[:1], previous[1:] = END, targets[:-1]",
        "previous[...] = targets",
        (ENCODER + "test_loss_and_probabilities_equal_the_equations",),
    ),
    Fault(
        "pairs of one source are in both parts",
        "charlm/text/numbering.py",
        "keys[is_label] = 0",
        "keys[is_label] += 0",
        (PAIR_TEXT + "TestCorpus::test_all_pairs_of_a_source_are_in_one_part",),
    ),
    Fault(
        "beginnings continue with the state of others",
        "charlm/tasks/beam_search.py",
        "(np.arange(rows)[:, None] * beam + parents).ravel()",
        "np.arange(rows * beam)",
        (PAIRS + "test_probabilities_are_those_of_reading_the_target",),
    ),
    Fault(
        "a search ends before a longer target that may be better",
        "charlm/tasks/beam_search.py",
        "return top / math.pow(limit, self._exponent) > worst",
        "return top > worst",
        (PAIRS + "test_wide_beam_finds_the_best_of_all_targets",),
    ),
)
