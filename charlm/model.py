"""LanguageModel: a vocabulary, a network and its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.checkpoint import ModelFile, TrainingRecord, named_tensors, read_model, write_model
from charlm.config import NetworkConfig, SampleConfig, TextConfig, check, is_count
from charlm.errors import ConfigError, ModelExistsError
from charlm.inference.interface import CausalModel
from charlm.inference.prepare import prepare_bidirectional, prepare_causal
from charlm.machine import usable_cores
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.networks import make_network
from charlm.sampling.sampler import Sample, Sampler
from charlm.scoring.characters import score_characters
from charlm.scoring.dynamic_evaluation import DynamicEvaluation, score_adaptively
from charlm.scoring.score import CharScore, Score
from charlm.scoring.scorer import score_texts
from charlm.text.reading import normalize_text
from charlm.text.vocabulary import LineVocabulary, Vocabulary

if TYPE_CHECKING:  # `fill`, `proof` and `gradients` load these packages; `charlm score` starts faster without them
    from charlm.diagnostics.gradient_flow import GradientFlow
    from charlm.infilling.bidirectional_reader import BidirectionalReader
    from charlm.infilling.filling import Filled
    from charlm.infilling.proofing import Suspect


class LanguageModel:
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
    Several threads may use one model at the same time, with the same results as one thread. They are bit for bit the
    same while the BLAS has one thread (OPENBLAS_NUM_THREADS=1). Otherwise a call that takes several cores sets the
    threads of the BLAS for the process, which may change the last bits.

    >>> load("shakespeare.safetensors").score("To be, or not to be").bits_per_char  # doctest: +SKIP
    """

    def __init__(
        self,
        network: BaseNetwork,
        params: Parameters | Sequence[Parameters],
        vocabulary: Vocabulary,
        text: TextConfig,
        training: TrainingRecord | None = None,
    ) -> None:
        self.network = network
        self.members = (params,) if isinstance(params, Parameters) else tuple(params)
        check(bool(self.members), "params", 0, "one member or more")
        self.vocabulary = LineVocabulary(vocabulary.tokens, vocabulary.unit) if text.lines else vocabulary
        self.text = text
        self.training = training or TrainingRecord()

    @cached_property
    def prepared(self) -> CausalModel:
        """The network or the mixture with its weights prepared for inference; ConfigError if it is bidirectional."""
        if not isinstance(self.network, Network):
            raise ConfigError(
                "this model reads from both sides and has no probability from left to right, so it cannot sample or "
                "score a text: it supports `fill`, `proof` and `pseudo_score` (the pseudo-log-likelihood)"
            )
        return prepare_causal(self.network, self.members)

    @cached_property
    def bidirectional(self) -> BidirectionalReader:
        """The bidirectional network, prepared for inference; ConfigError if it has one direction."""
        from charlm.infilling.bidirectional_reader import BidirectionalReader

        if not isinstance(self.network, BidirectionalNetwork):
            raise ConfigError("this model reads from left to right only; use one trained with `bidirectional=True`")
        return BidirectionalReader(prepare_bidirectional(self.network, self.members), self.vocabulary)

    @property
    def params(self) -> Parameters:
        """The weights of the first member; a model that is no mixture has one."""
        return self.members[0]

    @property
    def config(self) -> NetworkConfig:
        """The shape of the network."""
        return self.network.config

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LanguageModel:
        """Read a model file; see the function `load`."""
        file = read_model(path)
        network = make_network(file.config, len(file.vocabulary), start=file.vocabulary.eos)
        members = [network.parameters(np.zeros(network.size, np.float32)) for _ in range(file.members)]
        for name, view in named_tensors(members).items():
            view[...] = file.tensors[name]
        return cls(network, members, file.vocabulary, TextConfig(**file.text), file.training)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a model file, atomically.

        Raises ModelExistsError if it exists and `overwrite` is not set, CheckpointError if it cannot be written.
        """
        if not overwrite and Path(path).exists():
            raise ModelExistsError(f"{path}: exists already; `overwrite=True` replaces it")
        tensors, text = named_tensors(self.members), asdict(self.text)
        write_model(path, ModelFile(self.config, text, self.vocabulary, tensors, self.training, len(self.members)))

    def sample(self, prompt: str = "", *, n: int = 1, **options: Any) -> list[Sample]:
        """Draw n texts that continue a prompt.

        Parameters
        ----------
        prompt : str
            The text to continue; it is not part of the result.
        n : int, default 1
            Number of texts.
        seed : int, optional
            The same seed gives the same texts.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        config : SampleConfig, optional
            How characters are drawn.
        **options
            Fields of SampleConfig that override `config`, such as `temperature=0.5` or `length=200`.
        """
        check(is_count(n), "n", n, "1 or more")
        return list(self.sample_each(prompt, n=n, **options))

    def sample_each(
        self,
        prompt: str = "",
        *,
        n: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        **settings: Any,
    ) -> Iterator[Sample]:
        """Yield the texts of `sample` in batches as they are drawn, without end if n is None."""
        config = self.sampling(config, settings)
        sampler = Sampler(self.prepared, self.vocabulary, config, threads=cores_for(threads))
        return sampler.texts(self.clean(prompt), n=n, seed=seed)

    def stream(
        self, prompt: str = "", *, seed: int | None = None, config: SampleConfig | None = None, **settings: Any
    ) -> Iterator[str]:
        """Draw one text, and yield each character as it is drawn; see `sample`."""
        sampler = Sampler(self.prepared, self.vocabulary, self.sampling(config, settings))
        return sampler.stream(self.clean(prompt), seed=seed)

    def sampling(self, config: SampleConfig | None, settings: Mapping[str, Any]) -> SampleConfig:
        """Complete the settings of sampling.

        A model of one running text never draws EOS, which was never a target. The stop string is normalized.
        """
        has_seen_ends = self.text.lines or len(self.training.sources) != 1
        config = config or SampleConfig()
        config = replace(config, **{"can_end": config.can_end and has_seen_ends, **settings})
        return config if config.stop is None else replace(config, stop=self.clean(config.stop))

    def score(self, text: str, *, end: bool | None = None, context: str = "") -> Score:
        """Return the log probability of a text; see `score_many`."""
        return next(iter(self.score_many([text], end=end, context=context)))

    def score_many(
        self, texts: Iterable[str], *, end: bool | None = None, context: str = "", threads: int | None = None
    ) -> Iterator[Score]:
        """Yield the log probability of each text, in order and in bounded memory.

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
        texts, context = map(self.clean, texts), self.clean(context)
        end, threads = self.counts_end(end), cores_for(threads)
        return score_texts(self.prepared, self.vocabulary, texts, end=end, context=context, threads=threads)

    def score_characters(
        self, text: str, *, end: bool | None = None, context: str = "", alternatives: int = 5
    ) -> Iterator[CharScore]:
        """Yield the score of each character, with the `alternatives` most probable ones; see `score_many`."""
        network, text, context, end = self.prepared, self.clean(text), self.clean(context), self.counts_end(end)
        return score_characters(network, self.vocabulary, text, end=end, context=context, alternatives=alternatives)

    def score_adaptively(
        self, texts: Iterable[str], *, end: bool | None = None, learning_rate: float = DynamicEvaluation.learning_rate
    ) -> Iterator[Score]:
        """Yield the score of each text while adapting a copy of the weights to the texts (dynamic evaluation)."""
        texts, config = map(self.clean, texts), DynamicEvaluation(learning_rate)
        network, end = self.prepared.network, self.counts_end(end)
        return score_adaptively(network, self.members, self.vocabulary, texts, end=end, config=config)

    def pseudo_score(self, text: str) -> Score:
        """Return the pseudo-log-likelihood of a text: each character given all others, without ends.

        Raises ConfigError if the model is not bidirectional.
        """
        ids = self.vocabulary.encode(self.clean(text)).astype(np.intp)
        log_probs = self.bidirectional.long_scores(ids) if ids.size else np.zeros(0)
        return Score.of(text, log_probs, ids[ids != self.vocabulary.eos] == self.vocabulary.unk)

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
        from charlm.infilling.filling import fill_bidirectional, fill_left_to_right

        check(is_count(beam), "beam", beam, "1 or more")
        check(is_count(best), "best", best, "1 or more")
        blank = self.clean(blank)
        check(len(blank) == 1, "blank", blank, "one character")
        tokens = self.vocabulary.split(self.clean(text))
        missing = [index for index, token in enumerate(tokens) if token == blank]
        if not missing:
            raise ConfigError(f"nothing to fill in: the text has no {blank!r}; pass another `blank`")
        if self.config.bidirectional:
            return fill_bidirectional(self.bidirectional, tokens, missing, beam=beam, best=best)
        return fill_left_to_right(self.prepared, self.vocabulary, tokens, missing, beam=beam, best=best)

    def proof(self, text: str, *, min_gain: float = 0.0) -> Iterator[Suspect]:
        """Yield the characters that do not fit their context, in order, with better ones.

        A better one gains at least `min_gain` nats. Raises ConfigError if the model is not bidirectional.
        """
        from charlm.infilling.proofing import suspects

        return suspects(self.bidirectional, self.vocabulary.encode(self.clean(text)).astype(np.intp), min_gain=min_gain)

    def gradients(self, text: str, *, back: int = 64, places: int = 100, member: int = 0) -> GradientFlow:
        """Measure how the loss at step t depends on the state k steps back, k = 0 to `back`: the mean over `places` t.

        Of a mixture, one `member` is measured, counted from 0. Raises ConfigError if the model is bidirectional.
        """
        from charlm.diagnostics.gradient_flow import encode_text, measure_gradients

        if not isinstance(self.network, Network):
            raise ConfigError("this model reads from both sides; gradients are followed in models of one direction")
        check(is_count(member, 0) and member < len(self.members), "member", member, f"0 to {len(self.members) - 1}")
        ids = encode_text(self.vocabulary, self.clean(text), lines=self.text.lines)
        return measure_gradients(self.network, self.members[member], ids, back=back, places=places)

    def refuse_unknown(self, text: str) -> None:
        """Raise UnknownCharacterError, with line and column, if a token of a text is not in the vocabulary."""
        self.vocabulary.refuse_unknown(self.clean(text))

    def counts_end(self, end: bool | None) -> bool:
        """Return whether the end of a text counts, by default in a model of lines."""
        return self.text.lines if end is None else end

    def clean(self, text: str) -> str:
        """Return a text as training normalizes it: newlines as LF, in the Unicode normal form of the model."""
        return normalize_text(text, self.text)


def cores_for(threads: int | None) -> int:
    """Return the number of cores to use: `threads`, or all that this process may use for 0 or None."""
    check(threads is None or is_count(threads, 0), "threads", threads, "0 (all cores) or more")
    return threads or usable_cores()


def load(path: str | PathLike[str]) -> LanguageModel:
    """Read a model file; CheckpointError if it is not one of charlm, is damaged, or comes from a newer version."""
    return LanguageModel.load(path)
