"""Faults of mixtures: of their probabilities, their states and their files."""

from __future__ import annotations

from tests.mutants.fault import Fault

FUNCTIONAL = "charlm/nn/functional.py"
MIXTURE = "charlm/inference/mixture.py"
STEPPER = "charlm/inference/mixture_stepper.py"
MODEL_FILE = "charlm/checkpoint/model_file.py"
EXTENDED = "charlm/inference/extended.py"
TESTS = "tests/inference/test_mixture.py"
MODEL_TESTS = "tests/test_mixture_model.py"
WEIGHTED = "tests/test_mixture.py"
HEADERS = "tests/checkpoint/test_wrong_headers.py"

FAULTS = (
    Fault(
        "log-probabilities are averaged instead of probabilities",
        FUNCTIONAL,
        "top + np.log(np.exp(joint - top).sum(axis=0) / count)",
        "log_probs.mean(axis=0)",
        (TESTS,),
    ),
    Fault(
        "a mixture is not divided by its number of members",
        FUNCTIONAL,
        "np.exp(joint - top).sum(axis=0) / count",
        "np.exp(joint - top).sum(axis=0)",
        (TESTS,),
    ),
    Fault(
        "exponentials of very improbable characters vanish",
        FUNCTIONAL,
        "top = joint.max(axis=0)",
        "top = joint.max()",
        (TESTS + "::test_extreme_logits_in_float32_are_mixed_without_overflow",),
    ),
    Fault(
        "exponentials of very improbable characters vanish in a stepper of one stream",
        STEPPER,
        "MAX_LOGIT_RANGE = 60.0",
        "MAX_LOGIT_RANGE = 1e9",
        (TESTS + "::test_extreme_logits_in_float32_are_mixed_without_overflow",),
    ),
    Fault(
        "a mixture of one stream is not divided by its number of members",
        STEPPER,
        "np.divide(1 / len(logits),",
        "np.divide(1,",
        (TESTS + "::test_read_one_equals_the_reference",),
    ),
    Fault(
        "a mixture of one stream is not reset at EOS",
        STEPPER,
        "if token == self._members.start:",
        "if False:",
        (TESTS + "::test_read_one_equals_the_reference",),
    ),
    Fault(
        "all members use the matrix of the first",
        "charlm/kernels/packed_matrix.py",
        "                x.dot(matrix, row)\n",
        "                x.dot(self.matrices[0], row)\n",
        (TESTS + "::test_read_one_equals_the_reference",),
    ),
    Fault(
        "all members use the GRU's bias of the first",
        "charlm/nn/cells/gru.py",
        "np.resize(weights.bias[:, 2 * hidden :], (streams, hidden))",
        "weights.bias[:1, 2 * hidden :].repeat(streams, axis=0)",
        (TESTS + "::test_read_one_equals_the_reference",),
    ),
    Fault(
        "only the first member of a mixture is used",
        "charlm/inference/prepare.py",
        "return Mixture(prepared) if len(prepared) > 1 else prepared[0]",
        "return prepared[0]",
        (MODEL_TESTS, "-k", "mean or log_probability"),
    ),
    Fault(
        "only the first member of a bidirectional mixture is used",
        "charlm/inference/prepare.py",
        "return BidirectionalMixture(prepared) if len(prepared) > 1 else prepared[0]",
        "return prepared[0]",
        (MODEL_TESTS + "::test_bidirectional_mixture_fills_proofs_and_scores",),
    ),
    Fault(
        "each member reads the state of the first",
        MIXTURE,
        "(state[start:stop] for",
        "(state[: stop - start] for",
        (TESTS,),
    ),
    Fault(
        "the size of a mixture is that of a member",
        MIXTURE,
        "return sum(member.size for member in self.members)",
        "return self.members[0].size",
        (TESTS + "::test_properties_are_those_of_all_members",),
    ),
    Fault(
        "the first member is written for every member",
        MODEL_FILE,
        "for name, view in params.items()",
        "for name, view in members[0].items()",
        (MODEL_TESTS + "::test_load_returns_the_saved_members",),
    ),
    Fault(
        "the tensors of a mixture have no prefix",
        MODEL_FILE,
        'return [""] if members == 1 else [f"{k}." for k in range(members)]',
        'return [""]',
        (MODEL_TESTS + "::test_load_returns_the_saved_members",),
    ),
    Fault(
        "a number of members is not checked",
        MODEL_FILE,
        "type(members) is not int or not 2 <= members <= MAX_MEMBERS",
        "type(members) is not int",
        (HEADERS,),
    ),
    Fault(
        "True is a number of members",
        MODEL_FILE,
        "type(members) is not int or not 2 <= members <= MAX_MEMBERS",
        "not isinstance(members, int) or not 1 <= members <= MAX_MEMBERS",
        (HEADERS,),
    ),
    Fault(
        "the gradients of the first member are measured instead of those of `member`",
        "charlm/inspected_model.py",
        "return self.network, self.members[member]",
        "return self.network, self.members[0]",
        (MODEL_TESTS + "::test_gradients_are_those_of_one_member",),
    ),
    Fault(
        "only the first member adapts",
        "charlm/scoring/dynamic_evaluation.py",
        "for params in members]",
        "for params in members[:1]]",
        (MODEL_TESTS + "::test_members_adapt_by_their_own_gradients",),
    ),
    Fault(
        "the weights of a mixture are ignored",
        FUNCTIONAL,
        "if log_weights is not None:",
        "if False:",
        (WEIGHTED + "::test_next_character_has_the_weighted_mean_of_the_probabilities",),
    ),
    Fault(
        "each character that a model does not know has the whole probability of UNK",
        EXTENDED,
        "np.where(is_unknown, -np.log(np.count_nonzero(is_unknown)), 0)",
        "np.zeros(len(own_ids))",
        (WEIGHTED + "::test_next_character_has_the_weighted_mean_of_the_probabilities",),
    ),
    Fault(
        "scores ignore that UNK is divided",
        EXTENDED,
        "return log_probs + self._shift[targets], state",
        "return log_probs, state",
        (WEIGHTED + "::test_score_is_the_sum_over_the_characters_of_next",),
    ),
    Fault(
        "a model with the weight 0 is in the vocabulary",
        "charlm/mixture.py",
        "union([model.vocabulary for model, _ in self._used])",
        "union([model.vocabulary for model in self.models])",
        (WEIGHTED + "::test_mixture_with_one_weight_equals_the_model_alone",),
    ),
    Fault(
        "further model files after -m are texts",
        "charlm/cli/arguments.py",
        'takes_models and word in ("-m", "--model")',
        "False",
        ("tests/cli/test_mixing.py::test_score_of_several_models_is_that_of_the_mixture",),
    ),
)
