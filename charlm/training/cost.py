"""Estimates of the time of training, relative to the reference network, an LSTM 256x1."""

from __future__ import annotations

from charlm.config import NetworkConfig, TrainConfig


def step_cost(network: NetworkConfig, train: TrainConfig, vocabulary: int) -> float:
    """Estimate the time of a training step, in characters of the reference network.

    The first term is the forward and backward pass of the window, the second the update of the parameters. Each has
    a recurrent part and a part of the vocabulary: the output layer and, for the update, a one-hot input.
    """
    hidden = network.hidden
    recurrent = stack_weights(hidden, network.layers)
    character = relative_cost(hidden, network.layers) + vocabulary * (2.7e-6 * hidden + 0.12e-3)
    return train.batch * train.bptt * character + 70e-6 * (recurrent + (1 if network.tied else 5) * hidden * vocabulary)


def stack_weights(hidden: int, layers: int) -> int:
    """Return the number of weights of a stack of LSTM layers, about."""
    return 8 * layers * hidden**2


def relative_cost(hidden: int, layers: int) -> float:
    """Return the time per character of a stack, relative to the reference network."""
    return layers * hidden**2 / 256**2


def multiplications(hidden: int, layers: int, vocabulary: int) -> float:
    """Return the multiplications per character of a network, relative to an LSTM 256x1 with a small vocabulary."""
    return (layers * hidden + vocabulary / 8) * hidden / 256**2
