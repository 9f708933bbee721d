"""The activations of every cell by its equations, one step and one vector at a time, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary
from tests.nn.reference import CELLS, sigmoid

VOCABULARY = Vocabulary.build(dict.fromkeys("abcde \n", 1))


def model(
    cell: str = "lstm", layers: int = 2, *, lines: bool = False, members: int = 1, tied: bool = False
) -> LanguageModel:
    """Return a small model with random weights in float64."""
    network = Network(NetworkConfig(cell, 6, layers, tied=tied), len(VOCABULARY), start=VOCABULARY.eos)
    params = [network.initial(np.random.default_rng(seed), np.float64) for seed in range(members)]
    for seed, one in enumerate(params):
        one.flat += 0.3 * np.random.default_rng(seed + 100).standard_normal(one.flat.size)
    return LanguageModel(network, params, VOCABULARY, TextConfig(lines=lines))


def text(size: int, seed: int = 1) -> str:
    """Draw a text."""
    return "".join(np.random.default_rng(seed).choice(list("abcde \n"), size))


class Step(NamedTuple):
    """One step of one layer: the state, and the values of the gates, in the order of the weights."""

    state: tuple[np.ndarray, ...]
    gates: tuple[np.ndarray, ...]


def steps(found: LanguageModel, xs: np.ndarray, member: int = 0) -> Iterator[list[Step]]:
    """Yield each step of all layers for inputs xs (T, V); an input with EOS resets the state."""
    config, params = found.config, found.members[member]
    weights = [params.layer("rnn", layer) for layer in range(config.layers)]
    arrays = found.network.cell.state_arrays
    states = [tuple(np.zeros((arrays, config.hidden)))] * config.layers
    for x in xs:
        if x[VOCABULARY.eos]:
            states = [tuple(np.zeros((arrays, config.hidden)))] * config.layers
        done = []
        if config.tied:
            x = params["head.weight"].T @ x
        for layer, (W, U, b, d) in enumerate(weights):
            gates = gates_of(config.cell, x, states[layer][0], (W, U, b, d))
            states[layer] = CELLS[config.cell](x, states[layer], W, U, b, d)
            done.append(Step(states[layer], gates))
            x = states[layer][0]
        yield done


def gates_of(cell: str, x: np.ndarray, h: np.ndarray, weights: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Return the values of the gates of one step, from the equations in the documentation of PyTorch and the papers."""
    W, U, b, d = weights
    if cell == "lstm":
        i, f, g, o = np.split(W @ x + b + U @ h + d, 4)
        return sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    if cell == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(W @ x + b, 3), np.split(U @ h + d, 3)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        return r, z, np.tanh(x_n + r * h_n)
    if cell == "gru-before":
        (x_r, x_z, x_n), (U_r, U_z, U_n) = np.split(W @ x + b + d, 3), np.split(U, 3)
        r, z = sigmoid(x_r + U_r @ h), sigmoid(x_z + U_z @ h)
        return r, z, np.tanh(x_n + U_n @ (r * h))
    if cell == "gru-simple":
        z, n = np.split(W @ x + b + U @ h + d, 2)
        return sigmoid(z), np.tanh(n)
    return ()


def log_prob(found: LanguageModel, xs: np.ndarray, target: int) -> float:
    """Return ln p of a token after inputs xs (T, V)."""
    h = [step[-1].state[0] for step in steps(found, xs)][-1]
    logits = found.params["head.weight"] @ h + found.params["head.bias"]
    return float(logits[target] - np.log(np.exp(logits).sum()))
