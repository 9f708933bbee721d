"""Faults of the cells, the networks and their losses."""

from __future__ import annotations

from tests.mutants.fault import Fault

LSTM, GRU, BEFORE, SIMPLE, RNN, RELU, CELL = (
    f"charlm/nn/cells/{name}.py" for name in ("lstm", "gru", "gru_before", "gru_simple", "rnn", "rnn_relu", "cell")
)
STACK, BIDIRECTIONAL, FUNCTIONAL, LAYERS, LAYER_WEIGHTS = (
    f"charlm/nn/{name}.py" for name in ("stack", "bidirectional", "functional", "layers", "layer_weights")
)
PREPARED, STEPPER, BOTH = (
    f"charlm/inference/{name}.py" for name in ("prepared_network", "stepper", "prepared_bidirectional")
)
REFERENCE = "tests/nn/test_reference.py::"
TRAINING = f"{REFERENCE}TestEveryPath::test_training"
INFERENCE = f"{REFERENCE}TestEveryPath::test_inference"
MEASURE = f"{REFERENCE}TestEveryPath::test_measure"
PARAMETERS = f"{REFERENCE}TestEveryGradient::test_parameters"
FIRST_STATE = f"{REFERENCE}TestEveryGradient::test_first_state"
BOTH_SIDES = f"{REFERENCE}TestBothSides::test_inference"
BOTH_SIDES_TRAINING = f"{REFERENCE}TestBothSides::test_training"
SWAPPED_IN_STEP = (
    "h = h_prev - n\n        h *= update\n        h += n",
    "h = n - h_prev\n        h *= update\n        h += h_prev",
)


def of(cell: str, *tests: str) -> tuple[str, ...]:
    """Return arguments for pytest that keep the tests of a cell (and of those whose names begin with its name)."""
    return (*tests, "-k", cell)


def throughout(
    what: str, file: str, edits: tuple[tuple[str, str], ...], tests: tuple[str, ...], backward: tuple[str, ...]
) -> tuple[Fault, ...]:
    """Return one fault for all edits, and one for each: of the step, of the window, then of the backward pass.

    edits: (before, after).  tests: for the first two, and for all at once.  backward: for the rest.
    """
    (before, after), *rest = edits
    everywhere = Fault(f"{what}, throughout", file, before, after, tests, tuple((file, *edit) for edit in rest))
    ways = ["step", "window", *(f"backward pass ({k})" for k in range(1, len(rest)))]
    alone = (
        Fault(f"{what}, in the {way}", file, *edit, tests if way in ("step", "window") else backward)
        for way, edit in zip(ways, edits, strict=True)
    )
    return (everywhere, *alone)


LSTM_FAULTS = (
    *throughout(
        "h = o * c without a tanh",
        LSTM,
        (
            ("h = np.tanh(c)\n        h *= o", "h = c * o"),
            ("np.tanh(c, tanh_c)", "np.copyto(tanh_c, c)"),
            ("np.subtract(o, part, out=h_to_c)", "np.copyto(h_to_c, o)"),
        ),
        of("lstm", TRAINING, INFERENCE),
        of("lstm", PARAMETERS),
    ),
    Fault(
        "the input gate and the forget gate change places, throughout",
        LSTM,
        "i, f, g, o = parts(a, 4)",
        "f, i, g, o = parts(a, 4)",
        of("lstm", TRAINING, INFERENCE),
        (
            (LSTM, "i, f, g, o = gates\n        move =", "f, i, g, o = gates\n        move ="),
            (LSTM, "for t, (a, i, f, g, o, h_prev", "for t, (a, f, i, g, o, h_prev"),
            (LSTM, "dzs[::-1, 1],", "dzs[::-1, 0],"),
            (LSTM, "i, f, g, o = gates\n    to_i, to_f,", "f, i, g, o = gates\n    to_f, to_i,"),
        ),
    ),
    Fault(
        "forget gates start half open",
        LSTM,
        "bias[hidden : 2 * hidden] = 1.0",
        "bias[hidden : 2 * hidden] = 0.0",
        ("tests/nn/test_network.py::test_lstm_starts_with_open_forget_gates",),
    ),
    Fault(
        "the step of one stream swaps f and i",
        LSTM,
        "i, f, g, o = gates\n        move =",
        "f, i, g, o = gates\n        move =",
        of("lstm", INFERENCE),
    ),
    Fault(
        "gates of many streams by tanh: o is no sigmoid",
        LSTM,
        "        sigmoid_from_tanh(z[3], half)  # o\n",
        "",
        of("lstm", TRAINING),
    ),
    Fault(
        "gates of few streams by tanh: not shifted",
        LSTM,
        "            np.add(z, shift, z)\n",
        "",
        of("lstm", TRAINING),
    ),
    Fault(
        "gates by exp: g has the range of a sigmoid",
        LSTM,
        "twice = 2 * weights.for_streams(z.shape[1])[0]",
        "twice = np.ones_like(z)",
        of("lstm", TRAINING),
    ),
    Fault(
        "a reset keeps c, in the window",
        LSTM,
        "h_prev, c_prev = h_prev * reset_mask[t], c_prev * reset_mask[t]",
        "h_prev = h_prev * reset_mask[t]",
        of("lstm", TRAINING),
    ),
    Fault(
        "the forget gate's gradient sees the c before a reset",
        LSTM,
        "c_ins = apply_reset(cs[:-1], reset_mask)",
        "c_ins = cs[:-1]",
        of("lstm", PARAMETERS),
    ),
    Fault(
        "the gradient of c goes back over a reset",
        LSTM,
        "                dc *= reset_mask[t]\n",
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
        "return gates, (dh.copy(), dc.copy())",
        "return gates, (dh.copy(), np.zeros_like(dc))",
        of("lstm", FIRST_STATE),
    ),
)

GRU_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        GRU,
        (
            SWAPPED_IN_STEP,
            (
                "np.subtract(h_prev, n, out=h)\n    np.multiply(z, h, out=h)\n    np.add(n, h, out=h)",
                "h[...] = h_prev + z * (n - h_prev)",
            ),
            ("np.multiply(dh_t, z, out=through_z)", "np.multiply(dh_t, 1 - z, out=through_z)"),
            ("to_n *= to_z  # (1 - z) (1 - n^2)", "to_n *= z"),
            ("np.subtract(h_ins, n, out=to_r)", "np.subtract(n, h_ins, out=to_r)"),
        ),
        of("gru", TRAINING, INFERENCE),
        of("gru", PARAMETERS, FIRST_STATE),
    ),
    *throughout(
        "the relevance gate is dropped",
        GRU,
        (
            ("        q *= r\n", ""),
            ("np.multiply(r, q, out=rq)", "np.copyto(rq, q)"),
            ("np.multiply(to_n, r, out=to_q)", "np.copyto(to_q, to_n)"),
            ("to_r *= qs\n", "to_r *= 0\n"),
        ),
        of("gru", TRAINING, INFERENCE),
        of("gru", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "the window swaps r and z",
        GRU,
        "for t, (rz, r, z, n, q, h_prev, h) in enumerate(",
        "for t, (rz, z, r, n, q, h_prev, h) in enumerate(",
        of("gru", TRAINING),
    ),
    Fault(
        "the stepper swaps r and z",
        GRU,
        "move_on(rz, r, z_gate, n, h, q, rq, h, room)",
        "move_on(rz, z_gate, r, n, h, q, rq, h, room)",
        of("gru", INFERENCE),
    ),
    Fault(
        "the relevance gate leaves out the bias, in window and stepper",
        GRU,
        "np.add(u_n, bias_n, out=q)",
        "np.copyto(q, u_n)",
        of("gru", TRAINING, INFERENCE),
    ),
    Fault(
        "the gradient of the recurrent bias is that of the input's",
        GRU,
        "sum_rows(rows(qs))",
        "sum_rows(rows(gates[2]))",
        of("gru", PARAMETERS),
    ),
)

BEFORE_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        BEFORE,
        (
            SWAPPED_IN_STEP,
            (
                "np.subtract(h_prev, n, out=h)\n            np.multiply(z, h, out=h)\n            np.add(n, h, out=h)",
                "h[...] = h_prev + z * (n - h_prev)",
            ),
            ("np.multiply(dh, z, out=direct)", "np.multiply(dh, 1 - z, out=direct)"),
            ("to_n *= to_update  # (1 - z) (1 - n^2)", "to_n *= z"),
            ("np.subtract(h_ins, n, out=between)", "np.subtract(n, h_ins, out=between)"),
        ),
        of("gru-before", TRAINING, INFERENCE),
        of("gru-before", PARAMETERS, FIRST_STATE),
    ),
    *throughout(
        "the relevance gate is dropped",
        BEFORE,
        (
            ("(r * h_prev).dot(", "h_prev.dot("),
            ("np.multiply(r, h_prev, out=s)", "np.copyto(s, h_prev)"),
            ("np.multiply(ds, r, out=dh)", "np.copyto(dh, ds)"),
            ("np.multiply(ds, local_r, out=r)", "r[...] = 0"),
        ),
        of("gru-before", TRAINING, INFERENCE),
        of("gru-before", PARAMETERS, FIRST_STATE),
    ),
    Fault(
        "the window swaps r and z",
        BEFORE,
        "for t, (rz, r, z, n, s, h_prev, h) in enumerate(",
        "for t, (rz, z, r, n, s, h_prev, h) in enumerate(",
        of("gru-before", TRAINING),
    ),
    Fault(
        "the step swaps r and z",
        BEFORE,
        "r, update = parts(gates, 2)",
        "update, r = parts(gates, 2)",
        of("gru-before", INFERENCE),
    ),
)

SIMPLE_FAULTS = (
    *throughout(
        "z and 1 - z are swapped",
        SIMPLE,
        (
            SWAPPED_IN_STEP,
            (
                "np.subtract(h_prev, n, out=h)\n            np.multiply(z, h, out=h)\n            np.add(n, h, out=h)",
                "h[...] = h_prev + z * (n - h_prev)",
            ),
            ("np.multiply(dh, z, out=through_z)", "np.multiply(dh, 1 - z, out=through_z)"),
            ("to_n *= one_less_z", "to_n *= z"),
            ("np.subtract(h_ins, n, out=to_update)", "np.subtract(n, h_ins, out=to_update)"),
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
            (SIMPLE, "update, n = parts(a, 2)", "n, update = parts(a, 2)"),
            (SIMPLE, "for t, (a, z, n, h_prev, h)", "for t, (a, n, z, h_prev, h)"),
            (SIMPLE, "gates[0, span][::-1],", "gates[1, span][::-1],"),
            (SIMPLE, "z, n = gates\n    to_update, to_n = to_z", "n, z = gates\n    to_n, to_update = to_z"),
        ),
    ),
)

PLAIN_FAULTS = (
    Fault("there is no tanh", RNN, "np.tanh(z, out=z)", "z *= 1", of("rnn", TRAINING)),
    Fault(
        "the slope of tanh is 1",
        RNN,
        "return np.subtract(1, out, out=out)",
        "return np.add(1, 0 * out, out=out)",
        of("rnn", PARAMETERS),
    ),
    Fault(
        "the gradient goes back over a reset",
        RNN,
        "                    dh *= reset_mask[t]\n",
        "                    pass\n",
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
        "the step of one stream leaves out g",
        RNN,
        "            self.activate(z)\n            np.copyto(h, z[0])",
        "            np.copyto(h, z[0])",
        of("rnn", INFERENCE),
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
        ("tests/nn/test_functional.py::test_dropout_keeps_the_mean",),
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
        "weight_masks.append(dropout_mask(rng, self.config.recurrent_dropout, mask))",
        "weight_masks.append(np.sign(dropout_mask(rng, self.config.recurrent_dropout, mask)))",
        (PARAMETERS,),
    ),
    Fault(
        "the mask of the first layer everywhere",
        STACK,
        "np.multiply(hs, self.output_masks[layer],",
        "np.multiply(hs, self.output_masks[0],",
        (PARAMETERS,),
        ((STACK, "dhs *= run.output_masks[layer]", "dhs *= run.output_masks[0]"),),
    ),
    Fault(
        "the gradient of dropped weights is not dropped",
        STACK,
        "            if run.weight_masks:\n",
        "            if run.weight_masks and self.start < 0:\n",
        (PARAMETERS,),
    ),
    Fault(
        "the gradient of dropped outputs is not dropped",
        STACK,
        "            if run.output_masks:\n",
        "            if run.output_masks and self.start < 0:\n",
        (PARAMETERS,),
    ),
)

NETWORK_FAULTS = (
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
        PREPARED,
        "[layer.bias for layer in self._layers]",
        "[layer.bias / layer.recurrence.scale for layer in self._layers]",
        (INFERENCE,),
    ),
    Fault(
        "an input of 0 resets, in training",
        STACK,
        "starts = ids == self.start",
        "starts = ids == 0",
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
        PREPARED,
        "state = [tuple(array * reset_mask for array in layer) for layer in state]",
        "state = [(layer[0] * reset_mask, *layer[1:]) for layer in state]",
        of("lstm", INFERENCE),
    ),
    Fault(
        "a reset keeps c, in a window that is only read",
        PREPARED,
        "                    for array in moved:\n",
        "                    for array in moved[:1]:\n",
        of("lstm", INFERENCE),
    ),
    Fault(
        "a reset keeps c, on a walk",
        STEPPER,
        "for array in (array for layer in self.state for array in layer):",
        "for array in (layer[0] for layer in self.state):",
        of("lstm", INFERENCE),
    ),
    Fault(
        "an input of 0 resets, on a walk of one stream",
        STEPPER,
        "if chosen == self._start:",
        "if chosen == 0:",
        (INFERENCE,),
    ),
    Fault(
        "an input of 0 resets, on a walk",
        STEPPER,
        "self._forget((ids != self._start)[:, None])",
        "self._forget((ids != 0)[:, None])",
        (INFERENCE,),
    ),
    Fault(
        "targets that do not count are measured",
        PREPARED,
        "counts[run].ravel())",
        "counts[run].ravel() | True)",
        (MEASURE,),
    ),
    Fault(
        "rows 88 to 200 apart underflow float32",
        FUNCTIONAL,
        "SAFE_RANGE = 80.0",
        "SAFE_RANGE = 200.0",
        ("tests/nn/test_functional.py::test_losses_are_stable_where_rows_lie_far_apart",),
    ),
    Fault(
        "the curvature of the loss is a mean square",
        FUNCTIONAL,
        "sum_of_each(p) / total - mean * mean",
        "sum_of_each(p) / total",
        (MEASURE,),
    ),
    Fault(
        "recurrent weights are orthogonal, but not drawn uniformly",
        CELL,
        "result: Array = q * np.sign(np.diagonal(r))",
        "result: Array = q",
        (f"{REFERENCE}test_weights_of_the_recurrence_are_drawn_uniformly",),
    ),
)

BIDIRECTIONAL_FAULTS = (
    Fault(
        "the held-out loss counts shifted targets",
        BOTH,
        "loss_and_derivatives(logits, targets[:-1, part].ravel(),",
        "loss_and_derivatives(logits, targets[1:, part].ravel(),",
        (BOTH_SIDES,),
    ),
    Fault(
        "the held-out loss leaves out shifted targets",
        BOTH,
        "counts[:-1, part].ravel())",
        "counts[1:, part].ravel())",
        (BOTH_SIDES,),
    ),
    Fault(
        "the reverse stack reads what is to be predicted",
        BIDIRECTIONAL,
        "(inputs[:-1], targets[:0:-1])",
        "(inputs[:-1], targets[-2::-1])",
        (BOTH_SIDES, BOTH_SIDES_TRAINING),
    ),
    Fault(
        "the outputs of the reverse stack are not turned around",
        BIDIRECTIONAL,
        "output[::-1] if k else output",
        "output",
        (BOTH_SIDES, BOTH_SIDES_TRAINING),
        ((BIDIRECTIONAL, "half[::-1] if k else half", "half"),),
    ),
    Fault(
        "the weights of targets are shifted in training",
        BIDIRECTIONAL,
        "None if window.weights is None else window.weights[:-1]",
        "None if window.weights is None else window.weights[1:]",
        (BOTH_SIDES_TRAINING,),
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
)
