"""Reading from both sides: the distribution of each character given all others, and the pseudo-log-likelihood.

    PLL(text) = sum over t of log p(c_t | all other characters)

It is no log-probability of the text: what it weighs well is one reading of a text against another.
Sources: Besag 1975, Statistical analysis of non-lattice data; Salazar et al. 2020, arXiv:1910.14659 (text).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.text.bidirectional import cut_into_windows
from charlm.text.vocabulary import Vocabulary

WINDOWS_AT_ONCE = 64
"""Windows of a long text that are read side by side."""


class BidirectionalReader:
    """A network of both directions with its vocabulary.

    Texts are ids (n, B), a column each; EOS stands before and behind them, UNK where a character is missing.
    """

    def __init__(self, runner: PreparedBidirectionalNetwork, vocabulary: Vocabulary) -> None:
        self.runner = runner
        self.vocabulary = vocabulary

    def log_probs(self, texts: Ids) -> Array:
        """Return log p of what may stand at each place given all others, (n, V, B), in nats."""
        edge = np.full((1, texts.shape[1]), self.vocabulary.eos, texts.dtype)
        return self.runner.predict(np.concatenate([edge, texts]), np.concatenate([texts, edge]))

    def at_places(self, texts: Ids) -> Array:
        """Return log p of each character given all others, (n, B), in nats."""
        edge = np.full((1, texts.shape[1]), self.vocabulary.eos, texts.dtype)
        scores, _ = self.runner.score(np.concatenate([edge, texts]), np.concatenate([texts, edge]), [])
        return scores[:-1]

    def long_log_probs(self, ids: Ids) -> npt.NDArray[np.float64]:
        """Return log p of each character of a text of any length, (n,), read in windows with margins."""
        eos = self.vocabulary.eos
        inputs, targets, counts = cut_into_windows(np.concatenate([[eos], ids]))
        pieces = []
        for start in range(0, inputs.shape[1], WINDOWS_AT_ONCE):
            part = slice(start, start + WINDOWS_AT_ONCE)
            scores, _ = self.runner.score(inputs[:, part], targets[:, part], [])
            pieces.append(scores.T[counts[:, part].T])
        return np.concatenate(pieces).astype(np.float64)
