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

from charlm.config import check, is_real
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
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
    adapted = network.parameters(params.flat.copy())
    grads, work = params.empty_like(), Workspace(params.flat.dtype)
    mean_square, updates = np.zeros_like(params.flat), 0
    for text in texts:
        ids = np.concatenate(([vocabulary.eos], vocabulary.encode(text), [vocabulary.eos] * end)).astype(np.intp)
        inputs, targets = ids[:-1, None], ids[1:, None]
        state = network.zero_state(1, params.flat.dtype)
        log_probs = np.empty(len(targets))
        for start in range(0, len(targets), config.segment_length):
            segment = slice(start, start + config.segment_length)
            window = Window(inputs[segment], targets[segment], scale=1 / config.segment_length)
            scores, next_state = PreparedNetwork(network, adapted).score(window.inputs, window.targets, state)
            network.loss_and_grads(adapted, grads, window, state, work)
            updates += 1
            mean_square += (1 - config.mean_square_decay) * (grads.flat * grads.flat - mean_square)
            root_mean_square = np.sqrt(mean_square / (1 - config.mean_square_decay**updates))
            adapted.flat -= config.learning_rate * grads.flat / (root_mean_square + config.epsilon)
            adapted.flat += config.decay_rate * (params.flat - adapted.flat)
            log_probs[segment], state = scores[:, 0], next_state
        yield Score.of(text, log_probs, ids[1:] == vocabulary.unk)
