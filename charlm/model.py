"""LanguageModel: a vocabulary, a network and its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.checks import COUNT, NATURAL, check, check_texts, check_value
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.inspected_model import InspectedModel
from charlm.kernels.threads import cores_for
from charlm.sampling.sampler import Sample, Sampler
from charlm.scoring.characters import score_characters
from charlm.scoring.dynamic_evaluation import DynamicEvaluation, score_adaptively
from charlm.scoring.score import CharScore, Score
from charlm.scoring.scorer import score_text, score_texts
from charlm.settings import SampleSettings, checked, plain, show_keywords

if TYPE_CHECKING:  # `fill` and `proof` load these packages; `charlm score` starts faster without them
    from typing_extensions import Unpack

    from charlm.infilling.filling import Filled
    from charlm.infilling.proofing import Suspect
    from charlm.scoring.continuations import Next


class LanguageModel(InspectedModel):
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

    Notes
    -----
    A model can be pickled and copied (`copy.deepcopy`); a model file is the format to keep.

    Several threads may use one model at the same time, with the same results as one thread. They are bit for bit the
    same while the BLAS has one thread (OPENBLAS_NUM_THREADS=1). Otherwise a call that takes several cores sets the
    threads of the BLAS for the process, which may change the last bits.

    >>> load("shakespeare.safetensors").score("To be, or not to be").bits_per_char  # doctest: +SKIP
    """

    @show_keywords(SampleSettings, SampleConfig)
    def sample(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        **settings: Unpack[SampleSettings],
    ) -> list[Sample]:
        """Draw n texts that continue a prompt.

        Parameters
        ----------
        prompt : str
            The text to continue; it is not part of the result. A model of words draws a space with the word after it,
            so a space at the end of its prompt is dropped.
        n : int, default 1
            Number of texts.
        seed : int, optional
            The same seed gives the same texts.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        config : SampleConfig, optional
            How characters are drawn.
        **settings
            Fields of SampleConfig that override `config`, such as `temperature=0.5` or `length=200`.
        """
        check_value("n", plain(n), COUNT)
        return list(self.sample_each(prompt, n=n, seed=seed, threads=threads, config=config, **settings))

    @show_keywords(SampleSettings, SampleConfig)
    def sample_each(
        self,
        prompt: str = "",
        *,
        n: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        **settings: Unpack[SampleSettings],
    ) -> Iterator[Sample]:
        """Yield the texts of `sample` in batches as they are drawn, without end if n is None."""
        config = self.sampling(config, settings)
        sampler = Sampler(self.prepared, self.vocabulary, config, threads=cores_for(threads))
        return sampler.texts(self.clean_prompt(prompt), n=plain(n), seed=plain(seed))

    @show_keywords(SampleSettings, SampleConfig)
    def stream(
        self,
        prompt: str = "",
        *,
        seed: int | None = None,
        config: SampleConfig | None = None,
        **settings: Unpack[SampleSettings],
    ) -> Iterator[str]:
        """Draw one text, and yield each character as it is drawn; see `sample`."""
        sampler = Sampler(self.prepared, self.vocabulary, self.sampling(config, settings))
        return sampler.stream(self.clean_prompt(prompt), seed=plain(seed))

    def sampling(self, config: SampleConfig | None, settings: Mapping[str, object]) -> SampleConfig:
        """Complete the settings of sampling.

        A model of one running text never draws EOS, which was never a target. The stop string and the texts that a text
        must have are normalized.
        """
        has_seen_ends = self.text.lines or len(self.training.sources) != 1
        config = SampleConfig() if config is None else config
        check(isinstance(config, SampleConfig), "config", config, "a SampleConfig")
        given = checked(settings, SampleSettings.__annotations__)
        config = replace(config, **{"can_end": config.can_end and has_seen_ends, **given})
        names = ("stop", "starts_with", "contains", "ends_with")
        given = {name: getattr(config, name) for name in names}
        cleaned: dict[str, Any] = {name: self.clean(text) for name, text in given.items() if text is not None}
        return replace(config, **cleaned)

    def score(self, text: str, *, end: bool | None = None, context: str = "") -> Score:
        """Return the log probability of a text and of each of its characters; see `score_many`."""
        text, context = self.clean(text), self.clean(context)
        end, threads = self.counts_end(end), cores_for(None)
        return score_text(self.prepared, self.vocabulary, text, end=end, context=context, threads=threads)

    def score_many(
        self, texts: Iterable[str], *, end: bool | None = None, context: str = "", threads: int | None = None
    ) -> Iterator[Score]:
        """Yield the log probability of each text, in order and in bounded memory, without those of its characters.

        Parameters
        ----------
        texts : iterable of str
            The texts; each is scored before the next is read. EOS precedes each of them.
        end : bool, optional
            Whether the end of a text counts; by default it does in a model of lines.
        context : str
            Text that precedes each text and does not count.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        """
        check_texts(texts)
        texts, context = map(self.clean, texts), self.clean(context)
        end, threads = self.counts_end(end), cores_for(threads)
        return score_texts(self.prepared, self.vocabulary, texts, end=end, context=context, threads=threads)

    def score_characters(
        self, text: str, *, end: bool | None = None, context: str = "", alternatives: int = 5
    ) -> Iterator[CharScore]:
        """Yield the score of each character, with the `alternatives` most probable ones; see `score_many`."""
        check_value("alternatives", alternatives, NATURAL)
        network, text, context, end = self.prepared, self.clean(text), self.clean(context), self.counts_end(end)
        return score_characters(network, self.vocabulary, text, end=end, context=context, alternatives=alternatives)

    def score_adaptively(
        self, texts: Iterable[str], *, end: bool | None = None, learning_rate: float = DynamicEvaluation.learning_rate
    ) -> Iterator[Score]:
        """Yield the score of each text while adapting a copy of the weights to the texts (dynamic evaluation)."""
        check_texts(texts)
        texts, config = map(self.clean, texts), DynamicEvaluation(learning_rate)
        network, end = self.prepared.network, self.counts_end(end)
        return score_adaptively(network, self.members, self.vocabulary, texts, end=end, config=config)

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

    def next(self, prompt: str = "", *, words: int = 10) -> Next:
        """Return what the model expects after a prompt.

        Parameters
        ----------
        prompt : str
            The text before; EOS precedes it.
        words : int, default 10
            Number of next words to search for.

        Returns
        -------
        Next
            The distribution of the next character (`characters`), and the most probable next words (`words`).
        """
        from charlm.scoring.continuations import expect_next

        check_value("words", plain(words), NATURAL)
        return expect_next(self.prepared, self.vocabulary, self.clean_prompt(prompt), words=plain(words))


def load(path: str | PathLike[str]) -> LanguageModel:
    """Read a model file; CheckpointError if it is not one of charlm, is damaged, or comes from a newer version."""
    return LanguageModel.load(path)
