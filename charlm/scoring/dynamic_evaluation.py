"""Dynamic evaluation: adapt the weights to the texts while they are scored.

Each segment of a text is scored first and learned from afterwards, so that no character helps to predict itself.

    g    gradient of the segment's loss per character
    v <- m v + (1 - m) g^2                                mean square, corrected for its initial 0 as in Adam
    w <- w - learning_rate g / (sqrt(v) + epsilon)
    w <- w + decay_rate (w_trained - w)

References
----------
Krause et al. 2018, Dynamic evaluation of neural sequence models, arXiv:1709.07432: SGD with a decay towards the trained
weights (equation 5), with the gradient divided by its root mean square as in their RMS rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
from charlm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class DynamicEvaluation:
    """Hyperparameters of dynamic evaluation."""

    learning_rate: float = 1e-3
    """Step size of an update, more than 0."""
    decay_rate: float = 1e-3
    """Fraction of the distance to the trained weights that each update removes."""
    mean_square_decay: float = 0.99
    """Decay m of the running mean of squared gradients."""
    epsilon: float = 1e-6
    """Added to the root mean square of the gradient."""
    segment_length: int = 32
    """Characters that are scored, and then learned from."""

    def __post_init__(self) -> None:
        is_valid = is_real(self.learning_rate) and self.learning_rate > 0
        check(is_valid, "learning_rate", self.learning_rate, "more than 0")


class DynamicEvaluator:
    """Score segments of text with a copy of the weights that learns from each segment.

    Parameters
    ----------
    network, params : the trained model, which is not changed.
    config : the hyperparameters.
    """

    def __init__(self, network: Network, params: Parameters, config: DynamicEvaluation) -> None:
        self.network = network
        self.config = config
        self.trained = params.flat
        self.params = network.parameters(params.flat.copy())
        self._grads = params.empty_like()
        self._mean_square = np.zeros_like(params.flat)
        self._updates = 0
        self._work = Workspace(params.flat.dtype)

    def score(self, inputs: Ids, targets: Ids, state: NetworkState) -> tuple[Array, NetworkState]:
        """Score a segment, then learn from it.

        Parameters
        ----------
        inputs, targets : (T,)
        state : before the segment, for one stream.

        Returns
        -------
        log_probs : (T,) in nats.
        state : after the segment.
        """
        window = Window(inputs[:, None], targets[:, None], scale=1 / self.config.segment_length)
        log_probs, new_state = PreparedNetwork(self.network, self.params).score(window.inputs, window.targets, state)
        self.network.loss_and_grads(self.params, self._grads, window, state, self._work)
        self._update()
        return log_probs[:, 0], new_state

    def _update(self) -> None:
        """Update the weights with the gradients of a segment."""
        grads, decay = self._grads.flat, self.config.mean_square_decay
        self._updates += 1
        self._mean_square += (1 - decay) * (grads * grads - self._mean_square)
        root_mean_square = np.sqrt(self._mean_square / (1 - decay**self._updates))
        self.params.flat -= self.config.learning_rate * grads / (root_mean_square + self.config.epsilon)
        self.params.flat += self.config.decay_rate * (self.trained - self.params.flat)


def score_adaptively(
    network: Network,
    params: Parameters,
    vocabulary: Vocabulary,
    texts: Iterable[str],
    *,
    end: bool = False,
    config: DynamicEvaluation,
) -> Iterator[Score]:
    """Yield the score of each text, in order, with weights that adapt to the texts.

    Parameters
    ----------
    network, params : the trained model, which is not changed.
    vocabulary : encodes the texts.
    texts : what was learned from one text is kept for the next.
    end : whether EOS after each text counts, as one character.
    config : the hyperparameters.
    """
    evaluator = DynamicEvaluator(network, params, config)
    for text in texts:
        ids = np.concatenate(([vocabulary.eos], vocabulary.encode(text), [vocabulary.eos] * end)).astype(np.intp)
        inputs, targets = ids[:-1], ids[1:]
        state = network.zero_state(1, params.flat.dtype)
        log_probs = np.empty(targets.size)
        for start in range(0, targets.size, config.segment_length):
            segment = slice(start, start + config.segment_length)
            log_probs[segment], state = evaluator.score(inputs[segment], targets[segment], state)
        yield Score.of(text, log_probs, targets == vocabulary.unk)
