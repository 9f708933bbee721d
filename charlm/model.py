"""LanguageModel: a vocabulary, a network and its parameters; the one object a user holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from charlm.checkpoint import ModelFile, TrainingRecord, read_model, write_model
from charlm.config import NetworkConfig, SampleConfig, TextConfig, check, is_count
from charlm.diagnostics.gradient_flow import GradientFlow, measure_gradients
from charlm.errors import ConfigError, ModelExistsError, UnknownCharacterError
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_network import PreparedNetwork
from charlm.infilling.bidirectional_reader import BidirectionalReader
from charlm.infilling.filling import Filled, fill_bidirectional, fill_left_to_right
from charlm.infilling.proofing import Suspect, suspects
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
from charlm.text.position import line_and_column
from charlm.text.reading import normalize_text
from charlm.text.vocabulary import LineVocabulary, Vocabulary


class LanguageModel:
    """P(next character | characters before), learned from a text.

    network, params: what computes it.  vocabulary: V tokens.  text: how text becomes tokens. In a model of lines, a
    newline in a text is EOS: the end of one line and the start of another.
    training: what it was trained on, how long, the losses reached.

    Several threads may use one model at a time: every call works in buffers of its own, and gives the numbers that it
    gives alone. They are the same to the bit while the BLAS has one thread (OPENBLAS_NUM_THREADS=1); otherwise a call
    that takes several cores sets the threads of the BLAS for the whole process, which may change the last bits.

    >>> model = load("shakespeare.safetensors")         # doctest: +SKIP
    >>> model.score("To be, or not to be").bits_per_char  # doctest: +SKIP
    """

    def __init__(
        self,
        network: BaseNetwork,
        params: Parameters,
        vocabulary: Vocabulary,
        text: TextConfig,
        training: TrainingRecord | None = None,
    ) -> None:
        self.network = network
        self.params = params
        self.vocabulary = LineVocabulary(vocabulary.tokens, vocabulary.unit) if text.lines else vocabulary
        self.text = text
        self.training = training or TrainingRecord()

    @cached_property
    def runner(self) -> PreparedNetwork:
        """The network with its weights prepared for reading from left to right.

        Raises ConfigError if it reads from both sides.
        """
        if not isinstance(self.network, Network):
            raise ConfigError(
                "this model reads from both sides and has no probability from left to right, so it cannot sample or "
                "score a text: it supports `fill`, `proof` and `pseudo_score` (the pseudo-log-likelihood)"
            )
        return PreparedNetwork(self.network, self.params)

    @cached_property
    def bidirectional(self) -> BidirectionalReader:
        """The same for a network of both directions.

        Raises ConfigError if it reads from left to right alone.
        """
        if not isinstance(self.network, BidirectionalNetwork):
            raise ConfigError("this model reads from left to right only; use one trained with `bidirectional=True`")
        return BidirectionalReader(PreparedBidirectionalNetwork(self.network, self.params), self.vocabulary)

    @property
    def config(self) -> NetworkConfig:
        """The shape of the network."""
        return self.network.config

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LanguageModel:
        """Read a model file.

        Raises CheckpointError if it is not one of ours, is damaged, or comes from a newer charlm.
        """
        file = read_model(path)
        vocabulary = file.vocabulary
        network = make_network(file.config, len(vocabulary), start=vocabulary.eos)
        params = network.parameters(np.zeros(network.size, np.float32))
        for name, view in params.items():
            view[...] = file.tensors[name]
        return cls(network, params, vocabulary, TextConfig(**file.text), file.training)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a model file, at once or not at all.

        Raises ModelExistsError if there is one and `overwrite` is not set; CheckpointError if it cannot be written.
        """
        from pathlib import Path

        if not overwrite and Path(path).exists():
            raise ModelExistsError(f"{path}: exists already; overwrite=True replaces it")
        tensors = dict(self.params.items())
        write_model(path, ModelFile(self.config, asdict(self.text), self.vocabulary, tensors, self.training))

    def sample(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        **settings: Any,
    ) -> list[Sample]:
        """Draw n texts that continue `prompt`.

        threads: cores for batches of texts; 0 or None for all that this process may use.
        settings: fields of SampleConfig, such as temperature=0.8, length=200.
        The same seed gives the same texts.
        """
        check(is_count(n), "n", n, "1 or more")
        return list(self.sample_each(prompt, n=n, seed=seed, threads=threads, config=config, **settings))

    def stream(
        self, prompt: str = "", *, seed: int | None = None, config: SampleConfig | None = None, **settings: Any
    ) -> Iterator[str]:
        """Draw one text, a character at a time as it is drawn."""
        sampler = Sampler(self.runner, self.vocabulary, self.sampling(config, settings))
        return sampler.stream(self.clean(prompt), seed=seed)

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
        """Yield the texts of `sample` in batches as they are drawn; without end for n = None.

        threads: cores for batches of texts; 0 or None for all that this process may use.
        """
        config = self.sampling(config, settings)
        sampler = Sampler(self.runner, self.vocabulary, config, threads=cores_for(threads))
        return sampler.texts(self.clean(prompt), n=n, seed=seed)

    def sampling(self, config: SampleConfig | None, settings: Mapping[str, Any]) -> SampleConfig:
        """Complete the settings of sampling: a model of one running text has never seen a text end.

        The stop string is cleaned as prompts are.
        """
        has_seen_ends = self.text.lines or len(self.training.sources) != 1
        base = config or SampleConfig()
        completed = replace(base, **({"can_end": base.can_end and has_seen_ends} | dict(settings)))
        return completed if completed.stop is None else replace(completed, stop=self.clean(completed.stop))

    def score(self, text: str, *, end: bool | None = None, context: str = "") -> Score:
        """Return how probable `text` is, EOS before it.

        end: whether the end of the text counts; None for yes in a model of lines, no in one of running text.
        context: text that is read before it and not counted.
        """
        return next(iter(self.score_many([text], end=end, context=context)))

    def score_many(
        self, texts: Iterable[str], *, end: bool | None = None, context: str = "", threads: int | None = None
    ) -> Iterator[Score]:
        """Yield the score of each text, in order; in bounded memory, and the first before the second is read.

        threads: cores for batches of texts; 0 or None for all that this process may use.
        """
        given, context = map(self.clean, texts), self.clean(context)
        end, threads = self.counts_end(end), cores_for(threads)
        return score_texts(self.runner, self.vocabulary, given, end=end, context=context, threads=threads)

    def score_characters(
        self, text: str, *, end: bool | None = None, context: str = "", alternatives: int = 5
    ) -> Iterator[CharScore]:
        """Yield the score of each character of a text, with the most probable alternatives."""
        return score_characters(
            self.runner,
            self.vocabulary,
            self.clean(text),
            end=self.counts_end(end),
            context=self.clean(context),
            alternatives=alternatives,
        )

    def score_adaptively(
        self, texts: Iterable[str], *, end: bool | None = None, learning_rate: float = DynamicEvaluation.learning_rate
    ) -> Iterator[Score]:
        """Yield the score of each text, by weights that follow the texts as they are read (dynamic evaluation).

        The model itself stays as it is.
        """
        return score_adaptively(
            self.runner.network,
            self.params,
            self.vocabulary,
            map(self.clean, texts),
            end=self.counts_end(end),
            config=DynamicEvaluation(learning_rate),
        )

    def pseudo_score(self, text: str) -> Score:
        """Return the pseudo-log-likelihood of `text` as a score: each character given all others; ends do not count.

        Raises ConfigError if the model reads from left to right alone.
        """
        ids = self.vocabulary.encode(self.clean(text)).astype(np.intp)
        log_probs = self.bidirectional.long_scores(ids) if ids.size else np.zeros(0)
        is_unknown = ids[ids != self.vocabulary.eos] == self.vocabulary.unk
        unknown = float(log_probs[is_unknown].sum())
        return Score(log_probs.size, int(is_unknown.sum()), float(log_probs.sum()), unknown, text)

    def fill(self, text: str, *, blank: str = "_", beam: int = 8, best: int = 3) -> list[Filled]:
        """Return the best readings of a text in which each `blank` marks a missing character, the best first.

        beam: readings that the search keeps.  A model of one direction fills from left to right. A bidirectional one
        then replaces up to three characters per window of 160, and finds no reading that takes more changes at once.
        Raises ConfigError if nothing is missing.
        """
        check(is_count(beam), "beam", beam, "1 or more")
        check(is_count(best), "best", best, "1 or more")
        blank = self.clean(blank)
        check(len(blank) == 1, "blank", blank, "one character")
        pieces = self.vocabulary.split(self.clean(text))
        missing = [place for place, piece in enumerate(pieces) if piece == blank]
        if not missing:
            raise ConfigError(f"nothing to fill in: the text has no {blank!r}; pass another `blank`")
        if self.config.bidirectional:
            return fill_bidirectional(self.bidirectional, pieces, missing, beam=beam, best=best)
        return fill_left_to_right(self.runner, self.vocabulary, pieces, missing, beam=beam, best=best)

    def proof(self, text: str, *, min_gain: float = 0.0) -> Iterator[Suspect]:
        """Yield the characters that do not fit their surroundings, in order, with what fits better.

        min_gain: nats that the best candidate must gain to be yielded.
        Raises ConfigError if the model reads from left to right alone.
        """
        ids = self.vocabulary.encode(self.clean(text)).astype(np.intp)
        return suspects(self.bidirectional, ids, min_gain=min_gain)

    def gradients(self, text: str, *, back: int = 64, places: int = 100) -> GradientFlow:
        """Measure how the loss at step t depends on the state k steps back, for k = 0 to `back`.

        places: how many t, spread evenly over the text.
        Raises ConfigError if the model reads from both sides.
        """
        if self.config.bidirectional:
            raise ConfigError("this model reads from both sides; gradients are followed in models of one direction")
        return measure_gradients(
            self.runner.network, self.params, self.vocabulary, self.clean(text),
            lines=self.text.lines, back=back, places=places,
        )  # fmt: skip

    def refuse_unknown(self, text: str) -> None:
        """Raise UnknownCharacterError, with the place, if something in `text` is not in the vocabulary."""
        text = self.clean(text)
        places = self.vocabulary.unknown(text)
        if places:
            pieces = self.vocabulary.split(text)
            offset = sum(map(len, pieces[: places[0]]))
            line, column = line_and_column(text, offset)
            raise UnknownCharacterError(
                f"line {line}, column {column}: {pieces[places[0]]!r} is not in the model's vocabulary "
                f"({len(places):,} of {len(pieces):,} are not)"
            )

    def counts_end(self, end: bool | None) -> bool:
        """Return whether the end of a text counts: as asked, or where the model learned lines."""
        return self.text.lines if end is None else end

    def clean(self, text: str) -> str:
        """Return a text as training reads it: CR LF and CR made LF, in the Unicode normal form of the model."""
        return normalize_text(text, self.text)


def cores_for(threads: int | None) -> int:
    """Return how many cores to use: `threads`, or all that this process may use for 0 or None.

    Raises ConfigError if it is negative.
    """
    check(threads is None or is_count(threads, least=0), "threads", threads, "0 (all cores) or more")
    return threads or usable_cores()


def load(path: str | PathLike[str]) -> LanguageModel:
    """Read a model file.

    Raises CheckpointError if it is not one of ours, is damaged, or comes from a newer charlm.
    """
    return LanguageModel.load(path)
