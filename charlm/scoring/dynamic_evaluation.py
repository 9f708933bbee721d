"""Dynamic evaluation: weights that follow the text while it is scored.

Each stretch of text is scored first and learned from afterwards, so no character helps to predict itself.
Source: Krause et al. 2018, arXiv:1709.07432; the update is their SGD with a pull back to the trained weights
(equation 5), the gradient divided by its running root mean square as in their RMS rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import check, is_real
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.nn.base import NetworkState
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.window import Window
from charlm.scoring.score import Score

if TYPE_CHECKING:
    from charlm.text.vocabulary import Vocabulary

ADAPTATION_RATE = 1e-3
"""Learning rate of the RMS rule."""
PULL_BACK = 1e-3
"""Share of the way back to the trained weights that each update goes."""
STRETCH = 32
"""Characters that are scored, and then learned from."""
MEMORY = 0.99
"""Decay of the running mean of squared gradients."""


class DynamicEvaluator:
    """A copy of the weights that learns from what it has scored.

    network, params: the trained model; it is not changed.  learning_rate: of each update, > 0.
    """

    def __init__(self, network: Network, params: Parameters, learning_rate: float) -> None:
        check(is_real(learning_rate) and learning_rate > 0, "adaptation_rate", learning_rate, "more than 0")
        self.network = network
        self.trained = params.flat
        self.params = network.parameters(params.flat.copy())
        self._grads = params.empty_like()
        self._squares = np.zeros_like(params.flat)
        self._rate = learning_rate
        self._updates = 0
        self._work = Workspace(params.flat.dtype)

    def read(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Score a stretch (T,), then learn from it; returns the log-probabilities (T,) and the new state."""
        log_probs, after = PreparedNetwork(self.network, self.params).score(inputs[:, None], targets[:, None], state)
        window = Window(inputs[:, None], targets[:, None], scale=1 / STRETCH)
        self.network.loss_and_grads(self.params, self._grads, window, state, self._work)
        self._learn()
        return log_probs[:, 0], after

    def _learn(self) -> None:
        grads = self._grads.flat
        self._updates += 1
        self._squares += (1 - MEMORY) * (grads * grads - self._squares)
        root = np.sqrt(self._squares / (1 - MEMORY**self._updates)) + 1e-6
        self.params.flat -= self._rate * grads / root
        self.params.flat += PULL_BACK * (self.trained - self.params.flat)


def score_adaptively(
    network: Network,
    params: Parameters,
    vocabulary: Vocabulary,
    texts: Iterable[str],
    *,
    end: bool = False,
    learning_rate: float = ADAPTATION_RATE,
) -> Iterator[Score]:
    """Yield the score of each text, in order; what was learned from one text is kept for the next.

    end: whether EOS behind each text counts.
    Raises ConfigError if the learning rate is not above 0.
    """
    follower = DynamicEvaluator(network, params, learning_rate)
    for text in texts:
        ids = np.concatenate(([vocabulary.eos], vocabulary.encode(text), [vocabulary.eos] * end)).astype(np.intp)
        state = network.zero_state(1, params.flat.dtype)
        log_probs = np.empty(len(ids) - 1)
        for start in range(0, len(ids) - 1, STRETCH):
            span = slice(start, min(start + STRETCH, len(ids) - 1))
            log_probs[span], state = follower.read(ids[:-1][span], ids[1:][span], state)
        unknown = ids[1:] == vocabulary.unk
        yield Score(len(log_probs), int(unknown.sum()), float(log_probs.sum()), float(log_probs[unknown].sum()), text)
