"""LanguageModel: a vocabulary, a network and its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from charlm.checks import COUNT, check, check_texts, check_value
from charlm.errors import ConfigError
from charlm.inspected_model import InspectedModel
from charlm.scoring.dynamic_evaluation import DynamicEvaluation, score_adaptively
from charlm.scoring.score import Score
from charlm.task_model import TaskModel

if TYPE_CHECKING:  # `fill` and `proof` load these packages; `charlm score` starts faster without them
    from charlm.infilling.filling import Filled
    from charlm.infilling.proofing import Suspect


class LanguageModel(InspectedModel, TaskModel):
    """The probability of the next character given the characters before it, learned from a text.

    Parameters
    ----------
    network : BaseNetwork
        The network, of one direction or bidirectional.
    params : Parameters or sequence of Parameters
        Its weights. Several are the `members` of a mixture, which averages their probabilities.
    vocabulary : Vocabulary
        Its V tokens.
    text : TextConfig
        How text becomes tokens. In a model of lines, a newline in a text is EOS.
    training : TrainingRecord, optional
        Training texts, duration and losses.
    labels : sequence of str, optional
        The labels that the network predicts or reads. A model with labels is for its task (`text.task`), such as
        `restore`.

    Notes
    -----
    A model can be pickled and copied (`copy.deepcopy`); a model file is the format to keep.

    Several threads may use one model at the same time, with the same results as one thread. They are bit for bit the
    same while the BLAS has one thread (OPENBLAS_NUM_THREADS=1). Otherwise a call that takes several cores sets the
    threads of the BLAS for the process, which may change the last bits.

    >>> load("shakespeare.safetensors").score("To be, or not to be").bits_per_char  # doctest: +SKIP
    """

    def score_adaptively(
        self, texts: Iterable[str], *, end: bool | None = None, learning_rate: float = DynamicEvaluation.learning_rate
    ) -> Iterator[Score]:
        """Yield the score of each text while adapting a copy of the weights to the texts (dynamic evaluation)."""
        check_texts(texts)
        texts, config = map(self.clean, texts), DynamicEvaluation(learning_rate)
        end = self.counts_end(end)
        return score_adaptively(self.causal_network, self.members, self.vocabulary, texts, end=end, config=config)

    def pseudo_score(self, text: str) -> Score:
        """Return the pseudo-log-likelihood of a text: each character given all others, without ends.

        Raises ConfigError if the model is not bidirectional.
        """
        text = self.clean(text)
        ids = self.vocabulary.encode(text).astype(np.intp)
        is_scored = ids != self.vocabulary.eos
        log_probs = np.zeros(ids.size)
        if ids.size:
            log_probs[is_scored] = self.bidirectional.long_scores(ids)
        score = Score.of(text, log_probs[is_scored], ids[is_scored] == self.vocabulary.unk, self.vocabulary)
        return replace(score, log_probs=log_probs)

    def fill(self, text: str, *, blank: str = "_", beam: int = 8, best: int = 3) -> list[Filled]:
        """Return the most probable ways to fill in missing characters, the best first; ConfigError if none is missing.

        Parameters
        ----------
        text : str
            The text, with `blank` for each missing character. A model of one direction fills from left to right. A
            bidirectional one then replaces up to three characters per window of 160.
        beam : int, default 8
            Width of the beam search.
        best : int, default 3
            Number of results.
        """
        from charlm.infilling.filling import fill_bidirectional, fill_left_to_right, find_blanks

        self.require_language()
        check_value("beam", beam, COUNT)
        check_value("best", best, COUNT)
        blank = self.clean(blank)
        check(len(blank) == 1, "blank", blank, "one character")
        tokens = self.vocabulary.split(self.clean(text))
        missing = find_blanks(tokens, blank)
        if not missing:
            raise ConfigError(f"nothing to fill in: the text has no {blank!r}; pass another `blank`")
        if self.config.bidirectional:
            return fill_bidirectional(self.bidirectional, tokens, missing, beam=beam, best=best)
        return fill_left_to_right(self.prepared, self.vocabulary, tokens, missing, beam=beam, best=best)

    def proof(self, text: str, *, min_gain: float = 0.0) -> Iterator[Suspect]:
        """Yield the words that do not fit their context, in order, with better ones.

        A better one gains more than `min_gain` nats. Raises ConfigError if the model is not bidirectional.
        """
        from charlm.infilling.proofing import suspects

        return suspects(self.bidirectional, self.clean(text), min_gain=min_gain)


def load(path: str | PathLike[str]) -> LanguageModel:
    """Read a model file; CheckpointError if it is not one of charlm, is damaged, or comes from a newer version."""
    return LanguageModel.load(path)
