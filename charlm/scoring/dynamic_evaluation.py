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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array
from charlm.checks import POSITIVE, check_value
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.nn.functional import mix_log_probs
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
        check_value("learning_rate", self.learning_rate, POSITIVE)


def score_adaptively(
    network: Network,
    members: Sequence[Parameters],
    vocabulary: Vocabulary,
    texts: Iterable[str],
    *,
    end: bool = False,
    config: DynamicEvaluation,
) -> Iterator[Score]:
    """Yield the score of each text, in order, with weights that adapt to the texts.

    Parameters
    ----------
    network : the network.
    members : the trained weights, which are not changed. Of a mixture, each member adapts by its own gradient, and the
        scores are those of the mixture.
    vocabulary : encodes the texts.
    texts : what was learned from one text is kept for the next.
    end : whether EOS after each text counts, as one character.
    config : the hyperparameters.
    """
    adapting = [_AdaptingMember(network, params, config) for params in members]
    for text in texts:
        ids = np.concatenate(([vocabulary.eos], vocabulary.encode(text), [vocabulary.eos] * end)).astype(np.intp)
        inputs, targets = ids[:-1, None], ids[1:, None]
        log_probs = np.empty((len(adapting), len(targets)))
        for member, member_log_probs in zip(adapting, log_probs, strict=True):
            member.start_text()
            for start in range(0, len(targets), config.segment_length):
                segment = slice(start, start + config.segment_length)
                window = Window(inputs[segment], targets[segment], scale=1 / config.segment_length)
                member_log_probs[segment] = member.score_and_learn(window)
        yield Score.of(text, mix_log_probs(log_probs), ids[1:] == vocabulary.unk, vocabulary)


class _AdaptingMember:
    """The adapting weights of one member of a mixture, or of a network that is not one.

    network, trained, config: see `score_adaptively`.
    """

    def __init__(self, network: Network, trained: Parameters, config: DynamicEvaluation) -> None:
        self.network, self.trained, self.config = network, trained, config
        self.params = network.parameters(trained.flat.copy())
        self.grads, self.work = trained.empty_like(), Workspace(trained.flat.dtype)
        self.mean_square, self.updates = np.zeros_like(trained.flat), 0
        self.start_text()

    def start_text(self) -> None:
        """Reset the state."""
        self.state = self.network.zero_state(1, self.trained.flat.dtype)

    def score_and_learn(self, window: Window) -> Array:
        """Return the log-probabilities of a segment, (T,), and adapt the weights to it afterwards."""
        config, params, grads = self.config, self.params.flat, self.grads.flat
        scores, next_state = PreparedNetwork(self.network, self.params).score(window.inputs, window.targets, self.state)
        self.network.loss_and_grads(self.params, self.grads, window, self.state, self.work)
        self.updates += 1
        self.mean_square += (1 - config.mean_square_decay) * (grads * grads - self.mean_square)
        root_mean_square = np.sqrt(self.mean_square / (1 - config.mean_square_decay**self.updates))
        params -= config.learning_rate * grads / (root_mean_square + config.epsilon)
        params += config.decay_rate * (self.trained.flat - params)
        self.state = next_state
        return scores[:, 0]
