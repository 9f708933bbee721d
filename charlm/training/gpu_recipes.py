"""Changes to the recipes for long texts on a GPU, and the network that measures the speed of one.

A GPU reads 128 streams in about the time of a few, as long as they leave parts of it idle; what takes time is the
number of steps, each of which waits for the one before. So the batch is large, and the windows are shorter if there is
time for few of them. The networks of an ensemble share the GPU, and each must have enough time for its steps. The
batch of 128 at a learning rate of 0.006 with an LSTM 512x2 are known to work; the other numbers are estimates that no
GPU has measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charlm.config import NetworkConfig
from charlm.training.cost import multiplications
from charlm.training.ensemble_size import MAX_CHOSEN_MEMBERS

SHAPE = NetworkConfig("lstm", 512, 2)
"""The network whose speed is measured on a GPU: smaller ones take about as long."""
BATCH = 128
"""Streams of a window."""
LONG_WINDOW, SHORT_WINDOW = 128, 64
"""Steps of a window."""
WINDOWS = {"batch": BATCH, "bptt": LONG_WINDOW}
"""The windows of a long run."""
MAX_LOGITS, MIN_BATCH = 250_000_000, 16
"""Logits of a window, of 4 bytes each, above which a large vocabulary gets fewer streams, and the fewest streams.

Their softmax and their gradients take as much memory again.
"""
MIN_WINDOWS = 64
"""Windows in a pass over the text that several GPUs leave: they share a larger batch of a long text."""
MIN_UPDATES = 1000
"""Updates in long windows below which windows are short."""
RATE_FACTOR = 1.2
"""Learning rate, relative to a batch of 16."""
AVERAGED_UPDATES = 0.04
"""Fraction of the updates that the average of the weights may extend over, as in the longest recipe for a CPU."""
MEMBER_UPDATES, MEMBER_PASSES = 4000, 6
"""Updates in long windows, and passes over the text, for which each network of an ensemble must have time.

In a pass with a large batch, a network learns less.
"""
REASON = "; a large batch because a GPU reads many streams at once"
"""The explanation that a user reads."""


def character_cost(hidden: int, layers: int, vocabulary: int) -> float:
    """Return the time per character on a GPU, relative to that of the multiplications of the reference network.

    Small layers take as long as those of SHAPE.
    """
    return multiplications(max(hidden, SHAPE.hidden), layers, vocabulary)


def members_on_gpu(read: float, characters: int) -> int:
    """Return the number of networks that have time for enough updates and passes.

    read: characters that one network reads within the budget.  characters: length of the training text.
    """
    needed = max(MEMBER_UPDATES * BATCH * LONG_WINDOW, MEMBER_PASSES * characters)
    return min(MAX_CHOSEN_MEMBERS, max(1, int(read / needed)))


def largest_batch(characters: int, gpus: int) -> int:
    """Return the streams of a window on several GPUs: those of one for each, but fewer of a text that is not long."""
    return max(BATCH, min(BATCH, characters // (MIN_WINDOWS * LONG_WINDOW) // gpus) * gpus)


def adapt_to_gpu(
    recipe: Mapping[str, Any], read: float, vocabulary: int, batch: int = BATCH, gpus: int = 1
) -> dict[str, Any]:
    """Return the recipe for a long text with the windows of a GPU.

    Parameters
    ----------
    recipe : mapping
        Settings for a CPU.
    read : float
        Characters that the network reads within the budget.
    vocabulary : int
        Number of distinct tokens, V.
    batch, gpus : int
        Streams of a window, at most, and the number of GPUs that share them.
    """
    bptt = LONG_WINDOW if read >= MIN_UPDATES * batch * LONG_WINDOW else SHORT_WINDOW
    while batch * bptt * vocabulary > MAX_LOGITS * gpus and batch > MIN_BATCH:
        batch //= 2
    averaged = max(AVERAGED_UPDATES * read / (batch * bptt), 10.0)
    return {
        **recipe,
        "batch": batch,
        "bptt": bptt,
        "learning_rate": round(RATE_FACTOR * recipe["learning_rate"], 5),
        "average": min(recipe["average"], round(1 - 1 / averaged, 4)),
        "recurrent_dropout": 0.0,  # its masks are drawn on the CPU, for longer than a GPU takes for a window
    }
