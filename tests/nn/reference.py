"""Compute every cell and both networks by their equations: float64, one stream, one step and one vector at a time.

The oracle of the tests in this folder. It shares no code with `charlm`, and reads tensors by their names in PyTorch:
`rnn.weight_ih_l0` (G*H, inputs), `rnn.weight_hh_l0` (G*H, H), `rnn.bias_ih_l0` and `rnn.bias_hh_l0` (G*H,), and so on
for each layer; `head.weight` (V, H) and `head.bias` (V,). The right-to-left stack is `reverse.*`.

T steps, B streams, V vocabulary, H hidden, G gates. Below, W and b are the input's weights, U and d the state's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]
State = list[tuple[Array, ...]]  # of each layer: h, and c where the cell has one, (B, H)
Tensors = Mapping[str, Array]


def sigmoid(z: Array) -> Array:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-z))


def rnn(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Elman 1990, as in the documentation of `torch.nn.RNN`."""
    (h,) = state
    return (np.tanh(W @ x + b + U @ h + d),)


def rnn_relu(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Le et al. 2015, arXiv:1504.00941, as in `torch.nn.RNN(nonlinearity="relu")`; a state is at most a million."""
    (h,) = state
    return (np.clip(W @ x + b + U @ h + d, 0, 1e6),)


def gru(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Apply the reset gate after the product, as in the documentation of `torch.nn.GRU`; gates in the order r z n."""
    (h,) = state
    x_r, x_z, x_n = np.split(W @ x + b, 3)
    h_r, h_z, h_n = np.split(U @ h + d, 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * h,)


def gru_before(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Cho et al. 2014, arXiv:1406.1078, equations 5 to 8; gates in the order r z n."""
    (h,) = state
    x_r, x_z, x_n = np.split(W @ x + b + d, 3)
    U_r, U_z, U_n = np.split(U, 3)
    r, z = sigmoid(x_r + U_r @ h), sigmoid(x_z + U_z @ h)
    n = np.tanh(x_n + U_n @ (r * h))
    return ((1 - z) * n + z * h,)


def gru_simple(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Cho et al. 2014, arXiv:1406.1078, equations 6 to 8 with r = 1; gates in the order z n."""
    (h,) = state
    z, n = np.split(W @ x + b + U @ h + d, 2)
    z, n = sigmoid(z), np.tanh(n)
    return ((1 - z) * n + z * h,)


def lstm(x: Array, state: tuple[Array, ...], W: Array, U: Array, b: Array, d: Array) -> tuple[Array, ...]:
    """Gers et al. 2000, as in the documentation of `torch.nn.LSTM`; gates in the order i f g o."""
    h, c = state
    i, f, g, o = np.split(W @ x + b + U @ h + d, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


CELLS = {
    "rnn": rnn,
    "rnn-relu": rnn_relu,
    "gru": gru,
    "gru-before": gru_before,
    "gru-simple": gru_simple,
    "lstm": lstm,
}


def read(
    cell: str,
    tensors: Tensors,
    ids: Ids,
    state: State,
    *,
    start: int,
    stack: str = "rnn",
    masks: Sequence[Array] | None = None,
    tied: bool = False,
    also: Ids | None = None,
) -> tuple[Array, State]:
    """Run a stack over ids (T, B). Return the outputs of its last layer (T, B, H) and the last state.

    An input `start` resets its stream to a zero state.
    tied: whether the inputs are rows of the head.
    also: index of a second one in the input of each step, (T, B).
    masks: what each layer's outputs are multiplied by before the next layer or the head reads them, (B, H).
    """
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [[tensors[f"{stack}.{name}_l{layer}"] for name in names] for layer in range(len(state))]
    inputs = tensors["head.weight"] if tied else np.eye(weights[0][0].shape[1])
    tops = np.empty((*ids.shape, weights[0][1].shape[1]))
    last: State = [tuple(array.astype(np.float64) for array in layer) for layer in state]
    for stream in range(ids.shape[1]):
        states = [tuple(array[stream] for array in layer) for layer in last]
        for t, chosen in enumerate(ids[:, stream]):
            if chosen == start:
                states = [tuple(np.zeros_like(array) for array in layer) for layer in states]
            x = inputs[chosen] if also is None else inputs[chosen] + inputs[also[t, stream]]
            for layer in range(len(states)):
                states[layer] = CELLS[cell](x, states[layer], *weights[layer])
                x = states[layer][0] if masks is None else states[layer][0] * masks[layer][stream]
            tops[t, stream] = x
        for arrays, values in zip(last, states, strict=True):
            for array, value in zip(arrays, values, strict=True):
                array[stream] = value
    return tops, last


def log_softmax(tensors: Tensors, tops: Array) -> Array:
    """Return the log-probabilities of the next character (..., V), in nats, by what the head reads, (..., F)."""
    logits = np.empty((*tops.shape[:-1], len(tensors["head.bias"])))
    for index in np.ndindex(*tops.shape[:-1]):
        logits[index] = tensors["head.weight"] @ tops[index] + tensors["head.bias"]
        logits[index] -= logits[index].max()
        logits[index] -= np.log(np.exp(logits[index]).sum())
    return logits


def at(log_probs: Array, targets: Ids) -> Array:
    """Return the log-probability of each target, (T, B).  log_probs: (T, B, V).  targets: (T, B)."""
    return np.take_along_axis(log_probs, targets[..., None], axis=2)[..., 0]


def predict_from_both_sides(
    cell: str,
    tensors: Tensors,
    text: Ids,
    layers: int,
    arrays: int,
    *,
    start: int,
    masks: Mapping[str, Sequence[Array]] | None = None,
) -> Array:
    """Return log p(text[t] | all other characters) for t = 1 to T-2, (T-2, B, V), in nats.

    Schuster & Paliwal 1997: the head reads the state of `rnn` after text[t-1] and that of `reverse` after text[t+1],
    each of which began with zeros at its end of the text.
    text: (T, B).  arrays: of a layer's state.  masks: of each stack, see `read`.
    """
    tops = []
    for t in range(1, len(text) - 1):
        sides = []
        for stack, ids in (("rnn", text[:t]), ("reverse", text[t + 1 :][::-1])):
            zero = np.zeros((text.shape[1], tensors[f"{stack}.weight_hh_l0"].shape[1]))
            own = None if masks is None else masks[stack]
            outputs, _ = read(cell, tensors, ids, [(zero,) * arrays] * layers, start=start, stack=stack, masks=own)
            sides.append(outputs[-1])
        tops.append(np.concatenate(sides, axis=1))
    return log_softmax(tensors, np.array(tops))
