"""Faults of the cells, the networks and their losses."""

from __future__ import annotations

from tests.mutants.fault import Fault

LSTM, GRU, BEFORE, SIMPLE, RNN, RELU, CELL = (
    f"charlm/nn/cells/{name}.py" for name in ("lstm", "gru", "gru_before", "gru_simple", "rnn", "rnn_relu", "cell")
)
STACK, BIDIRECTIONAL, FUNCTIONAL, LAYERS, LAYER_WEIGHTS = (
    f"charlm/nn/{name}.py" for name in ("stack", "bidirectional", "functional", "layers", "layer_weights")
)
PREPARED, PREPARED_STACK, STEPPER, BOTH = (
    f"charlm/inference/{name}.py"
    for name in ("prepared_network", "prepared_stack", "stepper", "prepared_bidirectional")
)
REFERENCE = "tests/nn/test_reference.py::"
TRAINING = f"{REFERENCE}TestEveryPath::test_training"
INFERENCE = f"{REFERENCE}TestEveryPath::test_inference"
MEASURE = f"{REFERENCE}TestEveryPath::test_measure"
PARAMETERS = f"{REFERENCE}TestGradients::test_parameters"
FIRST_STATE = f"{REFERENCE}TestGradients::test_first_state"
BIDIRECTIONAL_INFERENCE = f"{REFERENCE}TestBidirectional::test_inference"
BIDIRECTIONAL_TRAINING = f"{REFERENCE}TestBidirectional::test_training"
SWAPPED_IN_STEP = (
    "np.subtract(h_prev, n, h)\n            np.multiply(z, h, h)\n            np.add(n, h, h)",
    "h[...] = h_prev + z * (n - h_prev)",
)


def of(cell: str, *tests: str) -> tuple[str, ...]:
    """Return arguments for pytest that keep the tests of a cell (and of those whose names begin with its name)."""
    return (*tests, f"-k{cell}")


def throughout(
    what: str, file: str, edits: tuple[tuple[str, str], ...], tests: tuple[str, ...], backward: tuple[str, ...]
) -> tuple[Fault, ...]:
    """Return one fault for all edits and one for each: of the step, then of the backward pass.

    edits: (before, after).  tests: for the step, and for all edits at once.  backward: for the rest.
    """
    (before, after), *rest = edits
    everywhere = Fault(f"{what}, throughout", file, before, after, tests, tuple((file, *edit) for edit in rest))
    step = Fault(f"{what}, in the step", file, before, after, tests)
    alone = (Fault(f"{what}, in the backward pass ({k})", file, *edit, backward) for k, edit in enumerate(rest, 1))
    return (everywhere, step, *alone)


LSTM_FAULTS = (
    *throughout(
        "h = o * c without a tanh",
        LSTM,
        (("np.tanh(c, tanh_c)", "np.copyto(tanh_c, c)"), ("np.subtract(o, part, dc_dh)", "np.copyto(dc_dh, o)")),
        of("lstm", TRAINING, INFERENCE),
        of("lstm", PARAMETERS),
    ),
    Fault(
        "the input gate and the forget gate are swapped, throughout",
        LSTM,
        "(gates, i, f, g, o), (h, c)",
        "(gates, f, i, g, o), (h, c)",
        of("lstm", TRAINING, INFERENCE),
        (
            (LSTM, "np.multiply(dc, dz[1], dc_prev)", "np.multiply(dc, dz[0], dc_prev)"),
            (LSTM, "i, f, g, o = gates\n    for_i, for_f,", "f, i, g, o = gates\n    for_f, for_i,"),
        ),
    ),
    Fault(
        "the input gate and the forget gate are swapped, in inference",
        LSTM,
        "(gates, i, f, g, o), (h, c), _ = arrays",
        "(gates, i, f, g, o), (h, c), _ = arrays\n            i, f = (f, i) if h is h_prev else (i, f)",
        of("lstm", INFERENCE),
    ),
    Fault(
        "forget gates start half open",
        LSTM,
        "bias[hidden : 2 * hidden] = 1.0",
        "bias[hidden : 2 * hidden] = 0.0",
        ("tests/nn/test_network.py::test_initial_forget_bias_of_lstm_is_one",),
    ),
    Fault(
        "the gate o is a tanh",
        LSTM,
        "is_sigmoid_gate = (True, True, False, True)",
        "is_sigmoid_gate = (True, True, False, False)",
        of("lstm", TRAINING, INFERENCE),
    ),
    Fault(
        "gates are not shifted",
        CELL,
        "        np.add(z, shift, z)\n",
        "",
        of("lstm", TRAINING),
    ),
    Fault(
        "a reset keeps c, in training",
        CELL,
        "previous = previous * cache.resets[t]",
        "previous = np.stack([previous[0] * cache.resets[t], *previous[1:]])",
        of("lstm", TRAINING),
    ),
    Fault(
        "the forget gate's gradient sees the c before a reset",
        LSTM,
        "c_prevs = cache.previous(1)",
        "c_prevs = cache.states[1, :-1]",
        of("lstm", PARAMETERS),
    ),
    Fault(
        "the gradient of c passes a reset",
        LSTM,
        "                    dc *= cache.resets[t]\n",
        "",
        of("lstm", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "the gradient of the last c is left out",
        LSTM,
        "(0, 0) if dlast is None else dlast",
        "(0, 0) if dlast is None else (dlast[0], 0)",
        of("lstm", FIRST_STATE),
    ),
    Fault(
        "the gradient of the first c is zero",
        LSTM,
        "return cache.gates, (dh.copy(), dc.copy())",
        "return cache.gates, (dh.copy(), np.zeros_like(dc))",
        of("lstm", FIRST_STATE),
    ),
)

GRU_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        GRU,
        (
            SWAPPED_IN_STEP,
            ("np.multiply(dh_t, dz[1], dh_from_z)", "np.multiply(dh_t, 1 - dz[1], dh_from_z)"),
            ("np.multiply(for_n, for_z, for_n)", "np.multiply(for_n, z, for_n)"),
            ("np.subtract(h_prevs, n, for_r)", "np.subtract(n, h_prevs, for_r)"),
        ),
        of("gru", TRAINING, INFERENCE),
        of("gru", PARAMETERS, FIRST_STATE),
    ),
    *throughout(
        "the relevance gate is dropped",
        GRU,
        (
            ("np.multiply(r, q, rq)", "np.copyto(rq, q)"),
            ("np.multiply(for_n, r, for_q)", "np.copyto(for_q, for_n)"),
            ("np.multiply(for_r, qs, for_r)\n", "np.multiply(for_r, 0, for_r)\n"),
        ),
        of("gru", TRAINING, INFERENCE),
        of("gru", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "r and z are swapped in training",
        GRU,
        "(h_prev,), (rz, r, z, n), (h,), (q,) = arrays",
        "(h_prev,), (rz, r, z, n), (h,), (q,) = arrays\n            r, z = (r, z) if h is h_prev else (z, r)",
        of("gru", TRAINING),
    ),
    Fault(
        "r and z are swapped in inference",
        GRU,
        "(h_prev,), (rz, r, z, n), (h,), (q,) = arrays",
        "(h_prev,), (rz, r, z, n), (h,), (q,) = arrays\n            r, z = (z, r) if h is h_prev else (r, z)",
        of("gru", INFERENCE),
    ),
    Fault(
        "the relevance gate leaves out the bias",
        GRU,
        "np.add(u_n, bias_n, q)",
        "np.copyto(q, u_n)",
        of("gru", TRAINING, INFERENCE),
    ),
    Fault(
        "the gradient of the recurrent bias is that of the input's",
        GRU,
        "sum_rows(rows(dqs))",
        "sum_rows(rows(cache.gates[2]))",
        of("gru", PARAMETERS),
    ),
)

BEFORE_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        BEFORE,
        (
            SWAPPED_IN_STEP,
            ("np.multiply(dh, z, direct)", "np.multiply(dh, 1 - z, direct)"),
            ("np.multiply(for_n, for_z, for_n)", "np.multiply(for_n, z, for_n)"),
            ("np.subtract(h_prevs, n, part)", "np.subtract(n, h_prevs, part)"),
        ),
        of("gru-before", TRAINING, INFERENCE),
        of("gru-before", PARAMETERS, FIRST_STATE),
    ),
    *throughout(
        "the relevance gate is dropped",
        BEFORE,
        (
            ("np.multiply(r, h_prev, s)", "np.copyto(s, h_prev)"),
            ("np.multiply(ds, r, dh)", "np.copyto(dh, ds)"),
            ("np.multiply(ds, factor_r, r)", "r[...] = 0"),
        ),
        of("gru-before", TRAINING, INFERENCE),
        of("gru-before", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "r and z are swapped in the step",
        BEFORE,
        "(h_prev,), (rz, r, z, n), (h,), (s,) = arrays",
        "(h_prev,), (rz, z, r, n), (h,), (s,) = arrays",
        of("gru-before", TRAINING, INFERENCE),
    ),
)

SIMPLE_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        SIMPLE,
        (
            SWAPPED_IN_STEP,
            ("np.multiply(dh, dz[0], dh_from_z)", "np.multiply(dh, 1 - dz[0], dh_from_z)"),
            ("np.multiply(for_n, one_minus_z, for_n)", "np.multiply(for_n, z, for_n)"),
            ("np.subtract(h_prevs, n, for_z)", "np.subtract(n, h_prevs, for_z)"),
        ),
        of("gru-simple", TRAINING, INFERENCE),
        of("gru-simple", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "the gates are n z in the file rather than z n",
        SIMPLE,
        "is_sigmoid_gate = (True, False)",
        "is_sigmoid_gate = (False, True)",
        of("gru-simple", TRAINING, INFERENCE),
        (
            (SIMPLE, "(h_prev,), (gates, z, n), (h,), _ = arrays", "(h_prev,), (gates, n, z), (h,), _ = arrays"),
            (SIMPLE, "np.multiply(dh, dz[0], dh_from_z)", "np.multiply(dh, dz[1], dh_from_z)"),
            (SIMPLE, "z, n = gates\n    for_z, for_n = factors", "n, z = gates\n    for_n, for_z = factors"),
        ),
    ),
)

PLAIN_FAULTS = (
    Fault("there is no tanh", RNN, "np.tanh(z, z)", "z *= 1", of("rnn", TRAINING)),
    Fault(
        "the slope of tanh is 1",
        RNN,
        "return np.subtract(1, out, out)",
        "return np.add(1, 0 * out, out)",
        of("rnn", PARAMETERS),
    ),
    Fault(
        "the gradient goes back over a reset",
        RNN,
        "                dh *= cache.resets[t]\n",
        "                pass\n",
        of("rnn", FIRST_STATE),
    ),
    Fault(
        "the gradient of the last state is left out",
        RNN,
        "0 if dlast is None else dlast[0]",
        "0",
        of("rnn", FIRST_STATE),
    ),
    Fault(
        "the step leaves out g",
        RNN,
        "            self.activate(h)\n",
        "",
        of("rnn", TRAINING, INFERENCE),
    ),
    Fault(
        "negative values leak",
        RELU,
        "np.maximum(z, 0, out=z)",
        "np.maximum(z, 0.01 * z, out=z)",
        of("rnn-relu", TRAINING),
    ),
    Fault(
        "the slope of negative values is 1",
        RELU,
        "np.greater(hs, 0,",
        "np.greater_equal(hs, 0,",
        of("rnn-relu", PARAMETERS),
    ),
)

DROPOUT_FAULTS = (
    Fault(
        "dropped values are not made up for by the scale of the others",
        LAYERS,
        "1 / (1 - fraction), out=out",
        "1.0, out=out",
        ("tests/nn/test_functional.py::test_dropout_mask_has_mean_one",),
    ),
    Fault(
        "the scale of dropout is off: seen by training alone",
        LAYERS,
        "1 / (1 - fraction), out=out",
        "1 + fraction, out=out",
        (PARAMETERS,),
    ),
    Fault(
        "dropped recurrent weights are not scaled",
        STACK,
        "masks[1].append(dropout_mask(rng, config.recurrent_dropout, array))",
        "masks[1].append(np.sign(dropout_mask(rng, config.recurrent_dropout, array)))",
        (PARAMETERS,),
    ),
    Fault(
        "the mask of the first layer everywhere",
        STACK,
        "np.multiply(hs, self.output_masks[layer],",
        "np.multiply(hs, self.output_masks[0],",
        (PARAMETERS,),
        ((STACK, "dhs *= cache.output_masks[layer]", "dhs *= cache.output_masks[0]"),),
    ),
    Fault(
        "the gradient of dropped weights is not dropped",
        STACK,
        "            if cache.weight_masks:\n",
        "            if cache.weight_masks and self.start < 0:\n",
        (PARAMETERS,),
    ),
    Fault(
        "the gradient of dropped outputs is not dropped",
        STACK,
        "            if cache.output_masks:\n",
        "            if cache.output_masks and self.start < 0:\n",
        (PARAMETERS,),
    ),
)

NETWORK_FAULTS = (
    Fault(
        "parameters iterate in alphabetical order",
        "charlm/nn/layout.py",
        "return iter(self._views)",
        "return iter(sorted(self._views))",
        ("tests/nn/test_network.py::test_parameters_iterate_in_their_order_in_memory",),
    ),
    Fault(
        "the recurrent bias is ignored, throughout",
        LAYER_WEIGHTS,
        "bias[:shared] += params.bias_hh[:shared]",
        "bias[:shared] += 0",
        (TRAINING, INFERENCE),
    ),
    Fault(
        "the bias of upper layers is not halved, in training",
        STACK,
        "zs += weights.bias.reshape(",
        "zs += (weights.bias / weights.recurrence.scale).reshape(",
        (TRAINING,),
    ),
    Fault(
        "the bias of upper layers is not halved, in inference",
        PREPARED_STACK,
        "h_below, bias, advance in upper",
        "h_below, bias, advance in [(*arrays[:2], 2 * arrays[2], arrays[3]) for arrays in upper]",
        (INFERENCE,),
        ((PREPARED_STACK, "by_gate += weights.bias.reshape", "by_gate += 2 * weights.bias.reshape"),),
    ),
    Fault(
        "an input of 0 resets, in training",
        STACK,
        "tokens_of(ids, self.config.conditions) == self.start",
        "tokens_of(ids, self.config.conditions) == 0",
        (TRAINING,),
    ),
    Fault(
        "gradients of first states come in the wrong order",
        STACK,
        "dstate.insert(0, dfirst)",
        "dstate.append(dfirst)",
        (FIRST_STATE,),
    ),
    Fault(
        "a reset keeps c, in a step",
        STEPPER,
        "            for array in layer:\n                array *= mask",
        "            for array in layer[:1]:\n                array *= mask",
        of("lstm", INFERENCE),
    ),
    Fault(
        "a reset keeps c, in a window that is only read",
        PREPARED_STACK,
        "                    for array in layer:\n",
        "                    for array in layer[:1]:\n",
        of("lstm", INFERENCE),
    ),
    Fault(
        "an input of 0 resets, in a step of one stream",
        STEPPER,
        "if token == self._stack.start:",
        "if token == 0:",
        (INFERENCE,),
    ),
    Fault(
        "an input of 0 resets, in a step of several streams",
        STEPPER,
        "self._reset((ids != self._stack.start)[:, None])",
        "self._reset((ids != 0)[:, None])",
        (INFERENCE,),
    ),
    Fault(
        "rows 88 to 200 apart underflow float32",
        FUNCTIONAL,
        "SAFE_RANGE = 80.0",
        "SAFE_RANGE = 200.0",
        ("tests/nn/test_functional.py::test_losses_of_rows_far_apart_are_exact",),
    ),
    Fault(
        "the curvature of the loss is a mean square",
        FUNCTIONAL,
        "row_sums(p) / total - mean * mean",
        "row_sums(p) / total",
        (MEASURE,),
    ),
    Fault(
        "recurrent weights are orthogonal, but not drawn uniformly",
        CELL,
        "result: Array = q * np.sign(np.diagonal(r))",
        "result: Array = q",
        (f"{REFERENCE}test_initial_recurrent_weights_are_uniformly_distributed",),
    ),
)

BIDIRECTIONAL_FAULTS = (
    Fault(
        "the held-out loss is that of shifted targets",
        BOTH,
        "expected = targets[:steps, part]",
        "expected = targets[-steps:, part]",
        (BIDIRECTIONAL_INFERENCE,),
    ),
    Fault(
        "the reverse stack reads what is to be predicted",
        BIDIRECTIONAL,
        "return inputs[:-1], targets[:0:-1]",
        "return inputs[:-1], targets[-2::-1]",
        (BIDIRECTIONAL_TRAINING, BIDIRECTIONAL_INFERENCE),
    ),
    Fault(
        "the outputs of the reverse stack are not turned around, in inference",
        BOTH,
        "both[..., hidden:] = after[::-1]",
        "both[..., hidden:] = after",
        (BIDIRECTIONAL_INFERENCE,),
    ),
    Fault(
        "the outputs of the reverse stack are not turned around",
        BIDIRECTIONAL,
        "output[::-1] if k else output",
        "output",
        (BIDIRECTIONAL_TRAINING,),
        ((BIDIRECTIONAL, "half[::-1] if k else half", "half"),),
    ),
    Fault(
        "the weights of targets are shifted in training",
        BIDIRECTIONAL,
        "None if window.weights is None else window.weights[steps]",
        "None if window.weights is None else window.weights[-len(hs) :]",
        (BIDIRECTIONAL_TRAINING,),
    ),
)

FAULTS = (
    *LSTM_FAULTS,
    *GRU_FAULTS,
    *BEFORE_FAULTS,
    *SIMPLE_FAULTS,
    *PLAIN_FAULTS,
    *DROPOUT_FAULTS,
    *NETWORK_FAULTS,
    *BIDIRECTIONAL_FAULTS,
    Fault(
        "the embeddings of a tied network get no gradient from the input",
        LAYERS,
        "embedding_grad[self.used] += sums @ weight",
        "embedding_grad[self.used] += 0 * (sums @ weight)",
        (PARAMETERS, "-ktied"),
    ),
    Fault(
        "calibration of a tied network changes its inputs",
        "charlm/training/evaluation.py",
        "if params.tied:",
        "if False:",
        ("tests/training/test_trainer.py::test_held_out_loss_equals_that_of_one_stream",),
    ),
    Fault(
        "a prompt of a model of words keeps its open space",
        "charlm/text/vocabulary.py",
        """prompt.removesuffix(" ") if""",
        "prompt if",
        ("tests/text/test_vocabulary.py",),
    ),
)
