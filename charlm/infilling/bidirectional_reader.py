"""Probabilities of a bidirectional network: of each character given all others, and of whole texts.

    PLL(text) = sum over t of log p(c_t | all other characters)

The pseudo-log-likelihood is not the log-probability of the text; it compares variants of one text with each other.
References: Besag 1975, Statistical analysis of non-lattice data; Salazar et al. 2020, arXiv:1910.14659 (text).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.inference.interface import BidirectionalModel
from charlm.infilling.tuning import DEFAULT_TUNING, InfillingTuning
from charlm.text.bidirectional import cut_into_windows
from charlm.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class BidirectionalReader:
    """A bidirectional network with its vocabulary.

    Texts are ids (n, B), one per column, without EOS before and after them; a missing character is UNK.

    Attributes
    ----------
    network : BidirectionalModel
        The network.
    vocabulary : Vocabulary
        Its tokens.
    tuning : InfillingTuning
        Number of windows that are read at a time.
    """

    network: BidirectionalModel
    vocabulary: Vocabulary
    tuning: InfillingTuning = DEFAULT_TUNING

    def log_probs(self, texts: Ids) -> Array:
        """Return log p of each token at each position given all other characters, (n, V, B), in nats."""
        return self.network.predict(*self._with_ends(texts))

    def log_probs_around(self, text: Ids) -> tuple[Array, Array, Array]:
        """Return log p of each token near each position of one text, in nats, from the states of one reading.

        Parameters
        ----------
        text : ndarray of int, (n,)
            The text.

        Returns
        -------
        in_place, before, for_two : ndarray, (n + 1, V)
            Row t: log p of a token in place of token t, before token t, and in place of both t and t + 1.
        """
        end = [self.vocabulary.eos]
        forward = np.concatenate([end, text, end])
        aligned = np.concatenate([text, end, end])
        backward = np.stack([aligned, np.roll(aligned, 1), np.concatenate([aligned[1:], end])], axis=1)
        log_probs = self.network.predict(np.repeat(forward[:, None], 3, axis=1), backward)
        return log_probs[:, :, 0], log_probs[:, :, 1], log_probs[:, :, 2]

    def scores(self, texts: Ids) -> Array:
        """Return log p of each character given all others, (n, B), in nats."""
        return self._score(*self._with_ends(texts))[:-1]

    def pseudo_log_likelihoods(self, texts: Ids) -> Array:
        """Return the pseudo-log-likelihood of each text, (B,), in nats; EOS does not count."""
        is_eos = texts == self.vocabulary.eos
        totals: Array = np.where(is_eos, 0, self.scores(texts)).sum(axis=0, dtype=np.float64)
        return totals

    def long_scores(self, ids: Ids) -> npt.NDArray[np.float64]:
        """Return log p of each character of a text of any length but EOS, (n,), in nats; it is read in windows."""
        inputs, targets, counts = cut_into_windows(np.concatenate([[self.vocabulary.eos], ids]))
        return self._score(inputs, targets).T[counts.T].astype(np.float64)

    def _score(self, inputs: Ids, targets: Ids) -> Array:
        """Return log p of each target, (T, B), in nats; the windows are read in batches."""
        size = self.tuning.windows_per_batch
        batches = [slice(start, start + size) for start in range(0, inputs.shape[1], size)]
        return np.hstack([self.network.score(inputs[:, batch], targets[:, batch], [])[0] for batch in batches])

    def _with_ends(self, texts: Ids) -> tuple[Ids, Ids]:
        """Return inputs and targets, (n + 1, B), of texts between two EOS."""
        end = np.full((1, texts.shape[1]), self.vocabulary.eos, texts.dtype)
        return np.concatenate([end, texts]), np.concatenate([texts, end])
