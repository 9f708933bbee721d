"""Faults of filling in, of proof-reading and of the pseudo-log-likelihood."""

from __future__ import annotations

from tests.mutants.fault import Fault

FILL = "tests/infilling/test_restoring.py::TestFill::"
PROOF = "tests/infilling/test_restoring.py::TestProof::"
FILLING, PROOFING = "charlm/infilling/filling.py", "charlm/infilling/proofing.py"

FAULTS = (
    Fault(
        "stretches are filled without what is around them",
        FILLING,
        "OWN, MARGIN = 160, 64",
        "OWN, MARGIN = 160, 0",
        (FILL + "test_the_whole_surroundings_weigh_wherever_a_stretch_ends",),
    ),
    Fault(
        "shares among the readings that are printed, not among all that were found",
        FILLING,
        "    weights = np.array([weight for weight, _ in found])\n",
        "    weights = np.array([weight for weight, _ in found[:best]])\n",
        (FILL + "test_shares_are_those_among_all_readings_that_were_found",),
        ((FILLING, "zip(found, shares.tolist(), strict=True)", "zip(found, shares.tolist())"),),
    ),
    Fault(
        "filled from the left, not the surest first",
        FILLING,
        "at = int(np.argmax(np.where(is_open, log_probs[:, :, b].max(axis=1), -np.inf)))",
        "at = int(np.argmax(is_open))",
        (FILL + "test_the_surest_place_is_filled_first",),
    ),
    Fault(
        "nothing is reconsidered",
        FILLING,
        "            if better.max() > 0:",
        "            if better.max() > 1e9:",
        (FILL + "test_what_was_filled_is_reconsidered",),
    ),
    Fault(
        "characters near a window's end are reported twice",
        PROOFING,
        "inside[MARGIN : MARGIN + OWN] = True",
        "inside[MARGIN:] = True",
        (PROOF + "test_each_suspect_is_reported_once_wherever_windows_end",),
    ),
    Fault(
        "a replacement is weighed by one neighbour on either side",
        PROOFING,
        "NEAR = 32",
        "NEAR = 1",
        (PROOF + "test_suspects_are_those_of_all_possibilities",),
    ),
    Fault(
        "the text as it is gets no share of the probability",
        PROOFING,
        "weights = np.exp(np.array([0.0, *(value",
        "weights = np.exp(np.array([-np.inf, *(value",
        (PROOF + "test_suspects_are_those_of_all_possibilities",),
    ),
    Fault(
        "the pseudo-log-likelihoods of a long text in the wrong order",
        "charlm/infilling/bidirectional_reader.py",
        "pieces.append(scores.T[counts[:, part].T])",
        "pieces.append(scores[counts[:, part]])",
        ("tests/infilling/test_restoring.py::TestPseudoLogLikelihood::"
         "test_windows_of_a_long_text_come_back_in_its_order",),
    ),
    Fault(
        "ends of lines count in the weight of a reading",
        FILLING,
        "        at_places[columns == reader.vocabulary.eos] = 0",
        "        at_places[columns == reader.vocabulary.eos] += 0",
        (FILL + "test_lines_are_filled_as_texts_of_their_own",),
    ),
)  # fmt: skip
