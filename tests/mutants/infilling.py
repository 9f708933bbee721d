"""Faults of filling gaps, of proof-reading and of the pseudo-log-likelihood."""

from __future__ import annotations

from tests.mutants.fault import Fault

FILL = "tests/infilling/test_infilling.py::TestFill::"
PROOF = "tests/infilling/test_proofing.py::"
FILLING, PROOFING = "charlm/infilling/filling.py", "charlm/infilling/proofing.py"
EDITS = "charlm/infilling/edits.py"
TUNING = "charlm/infilling/tuning.py"

FAULTS = (
    Fault(
        "windows are filled without the text around them",
        TUNING,
        "margin: int = 64",
        "margin: int = 0",
        (FILL + "test_context_on_both_sides_counts_at_the_ends_of_windows",),
    ),
    Fault(
        "probabilities among the readings that are returned, not among all that were found",
        FILLING,
        "softmax([weight for weight, _ in readings])",
        "softmax([weight for weight, _ in readings[:best]])",
        (FILL + "test_probabilities_are_among_all_readings_found",),
        ((FILLING, "zip(readings, probabilities, strict=True)", "zip(readings, probabilities)"),),
    ),
    Fault(
        "gaps are filled from the left, not the most certain gap first",
        FILLING,
        "most_certain = int(np.argmax(np.where(is_open, log_probs[:, :, b].max(axis=1), -np.inf)))",
        "most_certain = int(np.argmax(is_open))",
        (FILL + "test_most_certain_gap_is_filled_first",),
    ),
    Fault(
        "no filled token is replaced",
        FILLING,
        "            if gains.max() > 0:",
        "            if gains.max() > 1e9:",
        (FILL + "test_single_tokens_are_replaced_by_better_ones",),
    ),
    Fault(
        "positions beyond a window's end are examined twice",
        PROOFING,
        "is_inner[tuning.margin : tuning.margin + stop - start + (stop == len(ids))] = True",
        "is_inner[tuning.margin :] = True",
        (PROOF + "test_edits_of_all_windows_are_those_of_the_text",),
    ),
    Fault(
        "an edit is compared by one neighbour on both sides",
        TUNING,
        "context: int = 12",
        "context: int = 1",
        (PROOF + "test_wrong_word_is_marked_once_with_the_right_one",),
    ),
    Fault(
        "the text as it is has no probability",
        PROOFING,
        "softmax([0.0, *(edit",
        "softmax([-np.inf, *(edit",
        (PROOF + "test_best_edit_and_all_others_have_the_gains_of_whole_texts",),
    ),
    Fault(
        "all kinds of slips are equally probable",
        EDITS,
        "+ getattr(tuning, edit.kind).log_prior",
        "+ tuning.deletion.log_prior",
        (PROOF + "test_best_edit_and_all_others_have_the_gains_of_whole_texts",),
    ),
    Fault(
        "a word has several marks",
        PROOFING,
        "all(edit.stop <= other.start or edit.start >= other.stop for other in chosen)",
        "edit.start not in [other.start for other in chosen]",
        (PROOF + "test_best_of_edits_that_share_a_word_is_chosen",),
    ),
    Fault(
        "a word at the border of two windows has two marks",
        PROOFING,
        "if best.start >= end:",
        "if True:",
        (PROOF + "test_each_word_has_one_mark_for_any_window",),
    ),
    Fault(
        "deletions of equal tokens are different proposals",
        EDITS,
        "is_allowed | (ids == at_offset(ids, 1))] = -np.inf  # the deletion",
        "is_allowed] = -np.inf  # the deletion",
        (PROOF + "test_edits_of_all_windows_are_those_of_the_text",),
    ),
    Fault(
        "an insertion is predicted with the token at its position",
        "charlm/infilling/bidirectional_reader.py",
        "np.roll(aligned, 1)",
        "aligned",
        (PROOF + "test_distributions_near_a_position_are_those_of_changed_texts",),
    ),
    Fault(
        "a run of letters of any length is a word",
        "charlm/text/words.py",
        "if is_short and touches_word",
        "if touches_word",
        ("tests/text/test_words.py",),
    ),
    Fault(
        "the space between joined words is a word",
        "charlm/text/words.py",
        "joins_words = not new and first < start and last > stop",
        "joins_words = False",
        ("tests/text/test_words.py",),
    ),
    Fault(
        "the pseudo-log-likelihoods of a long text in the wrong order",
        "charlm/infilling/bidirectional_reader.py",
        "self._score(inputs, targets).T[counts.T]",
        "self._score(inputs, targets)[counts]",
        ("tests/infilling/test_infilling.py::TestPseudoLogLikelihood::"
         "test_scores_of_a_long_text_are_in_its_order",),
    ),
    Fault(
        "ends of lines count in the weight of a reading",
        FILLING,
        "        scores[columns == eos] = 0",
        "        scores[columns == eos] += 0",
        (FILL + "test_lines_are_filled_as_separate_texts",),
    ),
    Fault(
        "the minimum gain is ignored",
        "charlm/model.py",
        "min_gain=min_gain)",
        "min_gain=0.0)",
        (PROOF + "test_only_gains_above_min_gain_are_suspects",),
    ),
    Fault(
        "a gain equal to the minimum is reported",
        PROOFING,
        "if edit.gain > min_gain",
        "if edit.gain >= min_gain",
        (PROOF + "test_only_gains_above_min_gain_are_suspects",),
    ),
    Fault(
        "UNK is inserted",
        EDITS,
        "before[:, never] = -np.inf",
        "before[:, [vocabulary.eos]] = -np.inf",
        (PROOF + "test_unknown_character_is_a_suspect_and_no_proposal",),
    ),
    Fault(
        "an unknown character is no suspect",
        EDITS,
        "is_token = ids != vocabulary.eos\n",
        "is_token = ids > vocabulary.unk\n",
        (PROOF + "test_unknown_character_is_a_suspect_and_no_proposal",),
    ),
    Fault(
        "single tokens are replaced once more than allowed",
        FILLING,
        "range(max_changes + 1)",
        "range(max_changes + 2)",
        (FILL + "test_each_change_replaces_one_token_at_most_max_changes_times",),
    ),
    Fault(
        "the weight of a window is forgotten at the next one",
        FILLING,
        "extended.append((weight + gain, merged))",
        "extended.append((gain, merged))",
        (FILL + "test_gaps_in_windows_far_apart_are_independent",),
    ),
    Fault(
        "a prefix is weighed by its last character alone",
        FILLING,
        "totals = (weights + log_probs).ravel()",
        "totals = (0 * weights + log_probs).ravel()",
        (FILL + "test_narrow_beam_from_left_to_right_keeps_the_best_prefixes",),
    ),
    Fault(
        "the size of the beam is not checked",
        "charlm/model.py",
        'check_value("beam", beam, COUNT)',
        "pass",
        (FILL + "test_number_of_readings_below_one_is_refused",),
    ),
)  # fmt: skip
